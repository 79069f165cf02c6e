// What both ways to compute a separable convolution read and write.
#pragma once

#include "product.h"

template <class T>
struct Operands {
    const T *x, *mean, *rstd, *depthwise, *pointwise;
};

template <class T>
struct Results {
    T *y, *mean, *variance;
};

// Gradients that are not wanted are null.
template <class T>
struct Gradients {
    const T* y;
    T *x, *depthwise, *pointwise;
};

// Sums of the weights' gradients: every thread has its own, with the lanes of vectors apart.
template <class T>
class WeightSums {
  public:
    WeightSums(const Geometry& g, const Block<T>& block, const Gradients<T>& wanted, Int threads)
        : g_(g), block_(block), threads_(threads), split_(g.edges * g.channels * g.taps()),
          own_(split_ + g.edges * block.channels * block.channels),
          lanes_(wanted.depthwise || wanted.pointwise ? threads * own_ * LANES<T> : 0, 1),
          all_(reinterpret_cast<Vector<T>*>(lanes_.take(0))) {}

    Vector<T>* depthwise(Int thread, Int channel) const {
        return all_ + thread * own_ + channel * g_.taps();
    }
    Vector<T>* pointwise(Int thread, Int edge) const {
        return all_ + thread * own_ + split_ + edge * block_.channels * block_.channels;
    }
    void write(const Gradients<T>& to) const {
        const Int C = g_.channels;
        if (to.depthwise)
            for (Int i = 0; i < split_; ++i) to.depthwise[i] = sum(i);
        if (to.pointwise)
            for (Int o = 0; o < g_.edges * C; ++o)
                for (Int c = 0; c < C; ++c)
                    to.pointwise[o * C + c] =
                        sum(split_ + (o / C * block_.channels + o % C) * block_.channels + c);
    }

  private:
    const Geometry& g_;
    const Block<T>& block_;
    const Int threads_, split_, own_;
    Scratch<T> lanes_;
    Vector<T>* all_;

    // In the order of the threads: the same bits for the same number of threads.
    T sum(Int at) const {
        double found = 0;
        for (Int t = 0; t < threads_; ++t) found += total<T>(all_[t * own_ + at]);
        return static_cast<T>(found);
    }
};

// gx = rstd * (g - mean(g) - xhat * mean(g * xhat)), means over batch and plane; gx holds g, and
// `sums` (batch, channels of x, 2) the planes' sum(g) and sum(g * xhat).
template <class T>
void through_statistics(const Geometry& g, const Operands<T>& in, std::vector<double>& sums, T* gx,
                        Int threads) {
    const Int channels = g.groups() * g.channels;
    for (Int c = 0; c < channels; ++c)
        for (Int n = 1; n < g.batch; ++n)
            for (Int k = 0; k < 2; ++k) sums[c * 2 + k] += sums[(n * channels + c) * 2 + k];
    const double count = static_cast<double>(g.batch * g.pixels);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int plane = 0; plane < g.batch * channels; ++plane) {
        const Int c = plane % channels;
        const T center = in.mean[c], scale = in.rstd[c];
        const T mean = static_cast<T>(sums[c * 2] / count);
        const T slope = static_cast<T>(sums[c * 2 + 1] / count * scale);
        const T* x = in.x + plane * g.pixels;
        T* to = gx + plane * g.pixels;
#pragma omp simd
        for (Int i = 0; i < g.pixels; ++i)
            to[i] = scale * (to[i] - mean - (x[i] - center) * slope);
    }
}
