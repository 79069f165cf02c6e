// y = (z - mean) * rstd * weight + bias per channel, its gradients, and the moments of channels.
#include "common.h"

namespace {

struct Extent {
    Int batch, channels, size;
};

template <class T>
struct Normalization {
    const T *mean, *rstd, *weight, *bias;  // weight and bias may be null

    T scale(Int c) const { return weight ? rstd[c] * weight[c] : rstd[c]; }
};

template <class T>
void forward(const Extent& of, const T* z, const Normalization<T>& norm, T* y, Int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int plane = 0; plane < of.batch * of.channels; ++plane) {
        const Int c = plane % of.channels;
        const T center = norm.mean[c], scale = norm.scale(c), shift = norm.bias ? norm.bias[c] : T(0);
        const T* from = z + plane * of.size;
        T* to = y + plane * of.size;
#pragma omp simd
        for (Int i = 0; i < of.size; ++i) to[i] = (from[i] - center) * scale + shift;
    }
}

// Gradients that are not wanted are null.
template <class T>
struct Gradients {
    const T* y;
    T *z, *weight, *bias;
};

template <class T>
void backward(const Extent& of, const T* z, const Normalization<T>& norm, bool through,
              const Gradients<T>& gradients, Int threads) {
    const Int planes = of.batch * of.channels;
    const bool summed = through || gradients.weight || gradients.bias;
    std::vector<double> sums(summed ? 2 * planes : 0);  // sum(g), sum(g * (z - mean))
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int plane = 0; plane < (summed ? planes : 0); ++plane) {
        const T* g = gradients.y + plane * of.size;
        const T* from = z + plane * of.size;
        const T center = norm.mean[plane % of.channels];
        sums[2 * plane] = sum_over<T>(of.size, [&](auto zero, Int i) {
            return read<decltype(zero)>(g + i);
        });
        sums[2 * plane + 1] = sum_over<T>(of.size, [&](auto zero, Int i) {
            return read<decltype(zero)>(g + i) * (read<decltype(zero)>(from + i) - center);
        });
    }
    for (Int c = 0; summed && c < of.channels; ++c) {
        for (Int n = 1; n < of.batch; ++n)
            for (Int k = 0; k < 2; ++k) sums[2 * c + k] += sums[2 * (n * of.channels + c) + k];
        if (gradients.weight) gradients.weight[c] = static_cast<T>(sums[2 * c + 1] * norm.rstd[c]);
        if (gradients.bias) gradients.bias[c] = static_cast<T>(sums[2 * c]);
    }
    if (!gradients.z) return;
    const double count = static_cast<double>(of.batch * of.size);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int plane = 0; plane < planes; ++plane) {
        const Int c = plane % of.channels;
        const T center = norm.mean[c], rstd = norm.rstd[c], scale = norm.scale(c);
        const T mean = through ? static_cast<T>(sums[2 * c] / count) : T(0);
        const T slope = through ? static_cast<T>(sums[2 * c + 1] / count * rstd * rstd) : T(0);
        const T* g = gradients.y + plane * of.size;
        const T* from = z + plane * of.size;
        T* to = gradients.z + plane * of.size;
#pragma omp simd
        for (Int i = 0; i < of.size; ++i)
            to[i] = scale * (g[i] - mean - (from[i] - center) * slope);
    }
}

template <class T>
void moments(const Extent& of, const T* z, T* mean, T* variance, Int threads) {
    std::vector<double> found(2 * of.batch * of.channels);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int plane = 0; plane < of.batch * of.channels; ++plane)
        plane_moments(z + plane * of.size, of.size, &found[2 * plane]);
    channel_moments(found, of.batch, of.channels, of.size, mean, variance);
}

}  // namespace

using T = NUMBER;  // what the library is compiled for

extern "C" {

void normalized_forward(const Int* shape, const T* z, const T* mean, const T* rstd, const T* weight,
                        const T* bias, T* y, Int threads) {
    forward<T>({shape[0], shape[1], shape[2]}, z, {mean, rstd, weight, bias}, y, threads);
}
void normalized_backward(const Int* shape, const T* z, const T* mean, const T* rstd,
                         const T* weight, Int through, const T* gy, T* gz, T* g_weight, T* g_bias,
                         Int threads) {
    backward<T>({shape[0], shape[1], shape[2]}, z, {mean, rstd, weight, nullptr}, through,
                {gy, gz, g_weight, g_bias}, threads);
}
void moments(const Int* shape, const T* z, T* mean, T* variance, Int threads) {
    moments<T>({shape[0], shape[1], shape[2]}, z, mean, variance, threads);
}

}  // extern "C"
