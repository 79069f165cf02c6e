// A tensor at a mixture of nested quantizations, and its gradients, each in one pass.
#include "common.h"

#include <cmath>

namespace {

constexpr Int BLOCK = 4096;

template <class T>
struct Levels {
    T clip, low, high, offset;
    const T *steps, *gates;

    T inside(T u) const { return std::min(std::max(u, low), high); }
};

template <class T, int R>
void forward(Int count, const T* x, const Levels<T>& of, T* y, Int threads) {
    T steps[R], gates[R];
    for (int j = 0; j < R; ++j) steps[j] = of.steps[j], gates[j] = of.gates[j];
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int start = 0; start < count; start += BLOCK) {
        const Int end = std::min(count, start + BLOCK);
#pragma omp simd
        for (Int i = start; i < end; ++i) {
            T left = of.inside(x[i] / of.clip) - of.offset, total = gates[0] * of.offset;
            for (int j = 0; j < R; ++j) {
                const T rung = std::nearbyint(left / steps[j]) * steps[j];
                total += gates[j] * rung;
                left -= rung;
            }
            y[i] = of.clip * total;
        }
    }
}

constexpr int WIDE = 16;  // sums that run side by side, so that they need no order

template <class T, int R>
struct Sums {
    T of_rung[R][WIDE] = {}, of_inside[WIDE] = {};
};

// One number's gradient; `lane` is where its parts of the sums go.
template <class T, int R>
inline T passed(T x, T g, const Levels<T>& of, const T* steps, Sums<T, R>& sums, int lane) {
    const T u = x / of.clip;
    T left = of.inside(u) - of.offset;
    for (int j = 0; j < R; ++j) {
        const T rung = std::nearbyint(left / steps[j]) * steps[j];
        sums.of_rung[j][lane] += g * (j ? rung : rung + of.offset);
        left -= rung;
    }
    const T through = (u > of.low) & (u < of.high) ? g * of.gates[0] : T(0);
    sums.of_inside[lane] += through * u;
    return through;
}

// sums: R sums of gradient times rung, then that of gradient times number inside the range.
template <class T, int R>
void backward(Int count, const T* x, const Levels<T>& of, const T* g, T* gx, double* sums,
              Int threads) {
    T steps[R];
    for (int j = 0; j < R; ++j) steps[j] = of.steps[j];
    const Int blocks = (count + BLOCK - 1) / BLOCK;
    std::vector<double> found(blocks * (R + 1));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int block = 0; block < blocks; ++block) {
        const Int start = block * BLOCK, end = std::min(count, start + BLOCK);
        const Int whole = end - (end - start) % WIDE;
        Sums<T, R> own;
        for (Int i = start; i < whole; i += WIDE) {
#pragma omp simd
            for (int lane = 0; lane < WIDE; ++lane)
                gx[i + lane] = passed<T, R>(x[i + lane], g[i + lane], of, steps, own, lane);
        }
        for (Int i = whole; i < end; ++i)
            gx[i] = passed<T, R>(x[i], g[i], of, steps, own, static_cast<int>(i - whole));
        for (int j = 0; j <= R; ++j)
            for (const T part : j < R ? own.of_rung[j] : own.of_inside)
                found[block * (R + 1) + j] += part;
    }
    for (int j = 0; j <= R; ++j) {
        sums[j] = 0;
        for (Int block = 0; block < blocks; ++block) sums[j] += found[block * (R + 1) + j];
    }
}

template <class T>
Levels<T> levels_of(const T* clip, const T* gates, const T* numbers) {
    return {*clip, numbers[0], numbers[1], numbers[2], numbers + 3, gates};
}

}  // namespace

using T = NUMBER;

extern "C" {

void ladder_forward(Int count, Int rungs, const T* x, const T* clip, const T* gates,
                    const T* numbers, T* y, Int threads) {
    const Levels<T> of = levels_of(clip, gates, numbers);
    switch (rungs) {
        case 1: return forward<T, 1>(count, x, of, y, threads);
        case 2: return forward<T, 2>(count, x, of, y, threads);
        case 3: return forward<T, 3>(count, x, of, y, threads);
        case 4: return forward<T, 4>(count, x, of, y, threads);
    }
}
void ladder_backward(Int count, Int rungs, const T* x, const T* clip, const T* gates,
                     const T* numbers, const T* g, T* gx, double* sums, Int threads) {
    const Levels<T> of = levels_of(clip, gates, numbers);
    switch (rungs) {
        case 1: return backward<T, 1>(count, x, of, g, gx, sums, threads);
        case 2: return backward<T, 2>(count, x, of, g, gx, sums, threads);
        case 3: return backward<T, 3>(count, x, of, g, gx, sums, threads);
        case 4: return backward<T, 4>(count, x, of, g, gx, sums, threads);
    }
}

}  // extern "C"
