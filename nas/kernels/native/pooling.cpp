// 3 x 3 pooling with a padding of 1, and the moments of what comes out, plane by plane.
//
// Each plane is copied into a padded one, so that borders need no tests and a pass over the padded
// plane is one long loop whatever its width. Windows are reduced along rows first, then down.
#include <limits>

#include "common.h"

namespace {

struct Geometry {
    Int planes, channels, height, width, stride;  // as Python passes them; planes = N * C
    Int rows, cols, pitch, padded;

    explicit Geometry(const Int* shape) {
        std::memcpy(this, shape, 5 * sizeof(Int));
        rows = (height - 1) / stride + 1;
        cols = (width - 1) / stride + 1;
        pitch = width + 2;
        padded = (height + 2) * pitch;
    }
    // Output (i, j) has its window around the pixel with this place in the padded plane.
    Int center(Int i, Int j) const { return (stride * i + 1) * pitch + stride * j + 1; }
};

template <class T>
void pad(const Geometry& g, const T* plane, T* to) {
    for (Int i = 0; i < g.height; ++i)
        std::memcpy(to + (i + 1) * g.pitch + 1, plane + i * g.width, g.width * sizeof(T));
}

// Takes `other` where it is larger or NaN: of equal ones the first stays, as in PyTorch.
template <class T>
inline void keep_larger(T& best, T& code, T other, T other_code) {
    const bool take = (other > best) | (other != other);
    best = take ? other : best;
    code = take ? other_code : code;
}

// The maximum around every pixel of a padded plane, and which of its 3 x 3 pixels it is: 3 * row +
// column, kept as T so that both have vectors of the same length.
template <class T>
void max_windows(const Geometry& g, const T* x, T* best, T* code, T* row_best, T* row_code) {
    const Int p = g.pitch;
#pragma omp simd
    for (Int i = 1; i < g.padded - 1; ++i) {
        T value = x[i - 1], at = 0;
        keep_larger(value, at, x[i], T(1));
        keep_larger(value, at, x[i + 1], T(2));
        row_best[i] = value;
        row_code[i] = at;
    }
    for (Int row = 1; row <= g.height; row += g.stride) {
#pragma omp simd
        for (Int i = row * p + 1; i < row * p + p - 1; ++i) {
            T value = row_best[i - p], at = row_code[i - p];
            keep_larger(value, at, row_best[i], row_code[i] + 3);
            keep_larger(value, at, row_best[i + p], row_code[i + p] + 6);
            best[i] = value;
            code[i] = at;
        }
    }
}

template <class T>
void max_forward(const Geometry& g, const T* x, T* y, std::uint8_t* codes, T* mean, T* variance,
                 int threads) {
    std::vector<double> moments(g.planes * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(5 * g.padded, 5);
        T *plane = scratch.take(g.padded), *best = scratch.take(g.padded);
        T *code = scratch.take(g.padded), *row_best = scratch.take(g.padded);
        T* row_code = scratch.take(g.padded);
        std::fill_n(plane, g.padded, -std::numeric_limits<T>::infinity());
#pragma omp for schedule(static)
        for (Int n = 0; n < g.planes; ++n) {
            pad(g, x + n * g.height * g.width, plane);
            max_windows(g, plane, best, code, row_best, row_code);
            T* to = y + n * g.rows * g.cols;
            std::uint8_t* to_codes = codes + n * g.rows * g.cols;
            for (Int i = 0; i < g.rows; ++i) {
                const T *from = best + g.center(i, 0), *from_codes = code + g.center(i, 0);
                for (Int j = 0; j < g.cols; ++j) {
                    to[i * g.cols + j] = from[g.stride * j];
                    to_codes[i * g.cols + j] = static_cast<std::uint8_t>(from_codes[g.stride * j]);
                }
            }
            plane_moments(to, g.rows * g.cols, &moments[n * 2]);
        }
    }
    channel_moments(moments, g.planes / g.channels, g.channels, g.rows * g.cols, mean, variance);
}

// Every pixel gathers from the nine windows around it that may have chosen it: no scattered writes.
template <class T>
void max_backward(const Geometry& g, const std::uint8_t* codes, const T* gy, T* gx, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(3 * g.padded, 3);
        T *gradient = scratch.take(g.padded), *code = scratch.take(g.padded);
        T* sum = scratch.take(g.padded);
#pragma omp for schedule(static)
        for (Int n = 0; n < g.planes; ++n) {
            const T* from = gy + n * g.rows * g.cols;
            const std::uint8_t* from_codes = codes + n * g.rows * g.cols;
            for (Int i = 0; i < g.rows; ++i)
                for (Int j = 0; j < g.cols; ++j) {
                    gradient[g.center(i, 0) + g.stride * j] = from[i * g.cols + j];
                    code[g.center(i, 0) + g.stride * j] = from_codes[i * g.cols + j];
                }
            const Int p = g.pitch;
#pragma omp simd
            for (Int i = p + 1; i < g.padded - p - 1; ++i) {
                T value = 0;
                for (Int u = 0; u < 3; ++u)
                    for (Int v = 0; v < 3; ++v) {
                        const Int at = i + (1 - u) * p + 1 - v;
                        value += code[at] == T(3 * u + v) ? gradient[at] : T(0);
                    }
                sum[i] = value;
            }
            for (Int i = 0; i < g.height; ++i)
                std::memcpy(gx + (n * g.height + i) * g.width, sum + (i + 1) * p + 1,
                            g.width * sizeof(T));
        }
    }
}

template <class T>
void sum_windows(const Geometry& g, const T* x, T* rows, T* sum) {
    const Int p = g.pitch;
#pragma omp simd
    for (Int i = 1; i < g.padded - 1; ++i) rows[i] = x[i - 1] + x[i] + x[i + 1];
#pragma omp simd
    for (Int i = p + 1; i < g.padded - p - 1; ++i) sum[i] = rows[i - p] + rows[i] + rows[i + p];
}

// 1 / (pixels of the window that lie inside x), for one plane of y.
template <class T>
std::vector<T> inverse_counts(const Geometry& g) {
    const auto inside = [&g](Int i, Int extent) {
        return std::min(g.stride * i + 1, extent - 1) - std::max<Int>(g.stride * i - 1, 0) + 1;
    };
    std::vector<T> counts(g.rows * g.cols);
    for (Int i = 0; i < g.rows; ++i)
        for (Int j = 0; j < g.cols; ++j)
            counts[i * g.cols + j] = T(1) / (inside(i, g.height) * inside(j, g.width));
    return counts;
}

template <class T>
void average_forward(const Geometry& g, const T* x, T* y, T* mean, T* variance, int threads) {
    const std::vector<T> inverse = inverse_counts<T>(g);
    std::vector<double> moments(g.planes * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(3 * g.padded, 3);
        T *plane = scratch.take(g.padded), *rows = scratch.take(g.padded);
        T* sum = scratch.take(g.padded);
#pragma omp for schedule(static)
        for (Int n = 0; n < g.planes; ++n) {
            pad(g, x + n * g.height * g.width, plane);
            sum_windows(g, plane, rows, sum);
            T* to = y + n * g.rows * g.cols;
            for (Int i = 0; i < g.rows; ++i) {
                const T* from = sum + g.center(i, 0);
                for (Int j = 0; j < g.cols; ++j)
                    to[i * g.cols + j] = from[g.stride * j] * inverse[i * g.cols + j];
            }
            plane_moments(to, g.rows * g.cols, &moments[n * 2]);
        }
    }
    channel_moments(moments, g.planes / g.channels, g.channels, g.rows * g.cols, mean, variance);
}

template <class T>
void average_backward(const Geometry& g, const T* gy, T* gx, int threads) {
    const std::vector<T> inverse = inverse_counts<T>(g);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(3 * g.padded, 3);
        T *spread = scratch.take(g.padded), *rows = scratch.take(g.padded);
        T* sum = scratch.take(g.padded);
#pragma omp for schedule(static)
        for (Int n = 0; n < g.planes; ++n) {
            const T* from = gy + n * g.rows * g.cols;
            for (Int i = 0; i < g.rows; ++i)
                for (Int j = 0; j < g.cols; ++j)
                    spread[g.center(i, 0) + g.stride * j] =
                        from[i * g.cols + j] * inverse[i * g.cols + j];
            sum_windows(g, spread, rows, sum);
            for (Int i = 0; i < g.height; ++i)
                std::memcpy(gx + (n * g.height + i) * g.width, sum + (i + 1) * g.pitch + 1,
                            g.width * sizeof(T));
        }
    }
}

}  // namespace

#define POOLING(T)                                                                                 \
    extern "C" void max_pool_forward_##T(const Int* shape, const T* x, T* y,                     \
                                         std::uint8_t* codes, T* mean, T* variance, int threads) { \
        max_forward<T>(Geometry(shape), x, y, codes, mean, variance, threads);                     \
    }                                                                                              \
    extern "C" void max_pool_backward_##T(const Int* shape, const std::uint8_t* codes,           \
                                          const T* gy, T* gx, int threads) {                       \
        max_backward<T>(Geometry(shape), codes, gy, gx, threads);                                  \
    }                                                                                              \
    extern "C" void avg_pool_forward_##T(const Int* shape, const T* x, T* y, T* mean,            \
                                         T* variance, int threads) {                               \
        average_forward<T>(Geometry(shape), x, y, mean, variance, threads);                        \
    }                                                                                              \
    extern "C" void avg_pool_backward_##T(const Int* shape, const T* gy, T* gx, int threads) {   \
        average_backward<T>(Geometry(shape), gy, gx, threads);                                     \
    }

POOLING(float)
POOLING(double)
