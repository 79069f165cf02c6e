// 3 x 3 pooling with a padding of 1, and the moments of what comes out.
//
// Planes are copied, several at a time, into one tall padded plane: borders then need no tests, and
// a pass over it is one long loop whatever the size of the planes. Windows are reduced along rows
// first, then down. Strided pooling computes all windows and drops some.
#include <limits>

#include "common.h"

namespace {

constexpr Int TALL = 2048;  // values: a handful of tall planes fit into the first two caches

struct Geometry {
    Int planes, channels, height, width, stride;  // as Python passes them; planes = N * C
    Int rows, cols, size, pixels;                 // of y, and planes of y and x
    Int pitch, together, tall;

    explicit Geometry(const Int* shape) {
        std::memcpy(this, shape, 5 * sizeof(Int));
        rows = (height - 1) / stride + 1;
        cols = (width - 1) / stride + 1;
        size = rows * cols;
        pixels = height * width;
        pitch = width + 1;  // what pads a row on the right pads the next one on the left
        together = std::max<Int>(1, TALL / ((height + 1) * pitch));
        tall = ((height + 1) * together + 1) * pitch + 1;
    }
    Int groups() const { return (planes + together - 1) / together; }
    Int begin(Int group) const { return group * together; }
    Int end(Int group) const { return std::min(planes, begin(group) + together); }
    // Where row i of a plane begins in the tall plane; the place of a window is that of its center.
    Int row(Int plane, Int i) const {
        return (plane % together * (height + 1) + i + 1) * pitch + 1;
    }

    // Copies x of the planes [begin, end) into a tall plane, or back.
    template <class T>
    void put(Int group, const T* x, T* to) const {
        for (Int n = begin(group); n < end(group); ++n)
            for (Int i = 0; i < height; ++i)
                copy_row(to + row(n, i), x + n * pixels + i * width, width);
    }
    template <class T>
    void get(Int group, const T* from, T* x) const {
        for (Int n = begin(group); n < end(group); ++n)
            for (Int i = 0; i < height; ++i)
                copy_row(x + n * pixels + i * width, from + row(n, i), width);
    }
    // The same for y, whose pixels are `stride` apart.
    template <class T>
    void put_strided(Int group, const T* y, T* to) const {
        if (stride == 1) return put(group, y, to);
        for (Int n = begin(group); n < end(group); ++n)
            for (Int i = 0; i < rows; ++i) {
                T* at = to + row(n, 2 * i);
                for (Int j = 0; j < cols; ++j) at[2 * j] = y[n * size + i * cols + j];
            }
    }
    template <class T>
    void get_strided(Int group, const T* from, T* y) const {
        if (stride == 1) return get(group, from, y);
        for (Int n = begin(group); n < end(group); ++n)
            for (Int i = 0; i < rows; ++i) {
                const T* at = from + row(n, 2 * i);
                T* out = y + n * size + i * cols;
#pragma omp simd
                for (Int j = 0; j < cols; ++j) out[j] = at[2 * j];
            }
    }
};

// Takes `other` where it is larger or NaN: of equal ones the first stays, as in PyTorch.
template <class T>
inline void keep_larger(T& best, T& code, T other, T other_code) {
    const bool take = (other > best) | (other != other);
    best = take ? other : best;
    code = take ? other_code : code;
}

// The maximum around every pixel, and which of the 3 x 3 it is: 3 * row + column, as T while both
// shall be vectors of one length.
template <class T>
void max_windows(const Geometry& g, const T* x, T* row_best, T* row_code, T* best,
                 std::uint8_t* code) {
    const Int p = g.pitch;
#pragma omp simd
    for (Int i = 1; i < g.tall - 1; ++i) {
        T value = x[i - 1], at = 0;
        keep_larger(value, at, x[i], T(1));
        keep_larger(value, at, x[i + 1], T(2));
        row_best[i] = value;
        row_code[i] = at;
    }
#pragma omp simd
    for (Int i = p + 1; i < g.tall - p - 1; ++i) {
        T value = row_best[i - p], at = row_code[i - p];
        keep_larger(value, at, row_best[i], row_code[i] + 3);
        keep_larger(value, at, row_best[i + p], row_code[i + p] + 6);
        best[i] = value;
        code[i] = static_cast<std::uint8_t>(static_cast<int>(at));
    }
}

template <class T>
void max_forward(const Geometry& g, const T* x, T* y, std::uint8_t* codes, T* mean, T* variance,
                 Int threads) {
    std::vector<double> moments(g.planes * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(4 * g.tall, 4);
        Scratch<std::uint8_t> bytes(g.tall, 1);
        T *plane = scratch.take(g.tall), *best = scratch.take(g.tall);
        T *row_best = scratch.take(g.tall), *row_code = scratch.take(g.tall);
        std::uint8_t* code = bytes.take(g.tall);
        std::fill_n(plane, g.tall, -std::numeric_limits<T>::infinity());
#pragma omp for schedule(static)
        for (Int group = 0; group < g.groups(); ++group) {
            g.put(group, x, plane);
            max_windows(g, plane, row_best, row_code, best, code);
            g.get_strided(group, best, y);
            g.get_strided(group, code, codes);
            for (Int n = g.begin(group); n < g.end(group); ++n)
                plane_moments(y + n * g.size, g.size, &moments[n * 2]);
        }
    }
    channel_moments(moments, g.planes / g.channels, g.channels, g.size, mean, variance);
}

template <class T>
void max_backward(const Geometry& g, const std::uint8_t* codes, const T* gy, T* gx, Int threads) {
    Int offset[9];
    for (Int code = 0; code < 9; ++code) offset[code] = (code / 3 - 1) * g.pitch + code % 3 - 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(g.tall, 1);
        T* sum = scratch.take(g.tall);
#pragma omp for schedule(static)
        for (Int group = 0; group < g.groups(); ++group) {
            std::fill_n(sum, g.tall, T(0));
            for (Int n = g.begin(group); n < g.end(group); ++n)
                for (Int i = 0; i < g.rows; ++i) {
                    T* to = sum + g.row(n, g.stride * i);
                    const Int first = n * g.size + i * g.cols;
                    for (Int j = 0; j < g.cols; ++j)
                        to[g.stride * j + offset[codes[first + j]]] += gy[first + j];
                }
            g.get(group, sum, gx);
        }
    }
}

template <class T>
void sum_windows(const Geometry& g, const T* x, T* rows, T* sum) {
    const Int p = g.pitch;
#pragma omp simd
    for (Int i = 1; i < g.tall - 1; ++i) rows[i] = x[i - 1] + x[i] + x[i + 1];
#pragma omp simd
    for (Int i = p + 1; i < g.tall - p - 1; ++i) sum[i] = rows[i - p] + rows[i] + rows[i + p];
}

// 1 / (pixels of the window that lie inside x), for one plane of y.
template <class T>
std::vector<T> inverse_counts(const Geometry& g) {
    const auto inside = [&g](Int i, Int extent) {
        return std::min(g.stride * i + 1, extent - 1) - std::max<Int>(g.stride * i - 1, 0) + 1;
    };
    std::vector<T> counts(g.size);
    for (Int i = 0; i < g.rows; ++i)
        for (Int j = 0; j < g.cols; ++j)
            counts[i * g.cols + j] = T(1) / (inside(i, g.height) * inside(j, g.width));
    return counts;
}

template <class T>
void scale(const Geometry& g, const std::vector<T>& factors, const T* from, T* to) {
#pragma omp simd
    for (Int i = 0; i < g.size; ++i) to[i] = from[i] * factors[i];
}

template <class T>
void average_forward(const Geometry& g, const T* x, T* y, T* mean, T* variance, Int threads) {
    const std::vector<T> inverse = inverse_counts<T>(g);
    std::vector<double> moments(g.planes * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(3 * g.tall, 3);
        T *plane = scratch.take(g.tall), *rows = scratch.take(g.tall);
        T* sum = scratch.take(g.tall);
#pragma omp for schedule(static)
        for (Int group = 0; group < g.groups(); ++group) {
            g.put(group, x, plane);
            sum_windows(g, plane, rows, sum);
            g.get_strided(group, sum, y);
            for (Int n = g.begin(group); n < g.end(group); ++n) {
                scale(g, inverse, y + n * g.size, y + n * g.size);
                plane_moments(y + n * g.size, g.size, &moments[n * 2]);
            }
        }
    }
    channel_moments(moments, g.planes / g.channels, g.channels, g.size, mean, variance);
}

template <class T>
void average_backward(const Geometry& g, const T* gy, T* gx, Int threads) {
    const std::vector<T> inverse = inverse_counts<T>(g);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(3 * g.tall + g.together * g.size, 4);
        T *spread = scratch.take(g.tall), *rows = scratch.take(g.tall);
        T *sum = scratch.take(g.tall), *scaled = scratch.take(g.together * g.size);
#pragma omp for schedule(static)
        for (Int group = 0; group < g.groups(); ++group) {
            for (Int n = g.begin(group); n < g.end(group); ++n)
                scale(g, inverse, gy + n * g.size, scaled + (n - g.begin(group)) * g.size);
            g.put_strided(group, scaled - g.begin(group) * g.size, spread);
            sum_windows(g, spread, rows, sum);
            g.get(group, sum, gx);
        }
    }
}

}  // namespace

using T = NUMBER;  // what the library is compiled for

extern "C" {

void max_pool_forward(const Int* shape, const T* x, T* y, std::uint8_t* codes, T* mean, T* variance,
                      Int threads) {
    max_forward<T>(Geometry(shape), x, y, codes, mean, variance, threads);
}
void max_pool_backward(const Int* shape, const std::uint8_t* codes, const T* gy, T* gx,
                       Int threads) {
    max_backward<T>(Geometry(shape), codes, gy, gx, threads);
}
void avg_pool_forward(const Int* shape, const T* x, T* y, T* mean, T* variance, Int threads) {
    average_forward<T>(Geometry(shape), x, y, mean, variance, threads);
}
void avg_pool_backward(const Int* shape, const T* gy, T* gx, Int threads) {
    average_backward<T>(Geometry(shape), gy, gx, threads);
}

}  // extern "C"
