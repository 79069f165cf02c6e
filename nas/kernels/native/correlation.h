// Depthwise convolutions of one plane and their gradients, all as correlations with taps: a stride
// of 2 is read from phases of the plane, so that every loop runs over dense rows.
#pragma once

#include "geometry.h"

constexpr int MAX_KERNEL = 7;
constexpr int BLOCK = 8;     // rows that are accumulated at a time: as many as fit into registers
constexpr Int ROW_STEP = 4;  // what is left of them is done by four

// A column of the kernel: taps one below the other.
struct Column {
    Int offset;              // of the first tap, from the place of the output
    int weight[MAX_KERNEL];  // which weights; -1 for none
};

// A correlation of a plane with rows `pitch` apart: `count` taps per column, `gap` rows apart.
struct Correlation {
    Int pitch, gap;
    int count = 0;
    std::vector<Column> columns;

    void add(Int offset, const std::vector<int>& weights) {
        if (weights.empty()) return;
        Column column{offset, {}};
        std::fill_n(column.weight, MAX_KERNEL, -1);
        std::copy(weights.begin(), weights.end(), column.weight);
        columns.push_back(column);
        count = std::max(count, static_cast<int>(weights.size()));
    }
};

// Planes inside: rows are whole vectors and their number is one of ROW_STEP, so that no loop needs
// a tail. What exceeds a plane is garbage where values are read and zero where gradients are.
template <class T>
struct Wide {
    Int rows, cols, size;

    Wide(Int height, Int width)
        : rows(round_up(height, ROW_STEP)), cols(round_up(width, LANES<T>)), size(rows * cols) {}
    void put(T* to, const T* from, Int height, Int width) const {
        if (width == cols) return void(std::memcpy(to, from, height * width * sizeof(T)));
        for (Int i = 0; i < height; ++i)
            copy_row(to + i * cols, from + i * width, width);
    }
    void get(T* to, const T* from, Int height, Int width) const {
        if (width == cols) return void(std::memcpy(to, from, height * width * sizeof(T)));
        for (Int i = 0; i < height; ++i)
            copy_row(to + i * width, from + i * cols, width);
    }
};

// A zero-padded plane kept as stride x stride phases: phase (p, q) holds the padded pixels
// (stride * i + p, stride * j + q). So every tap of a strided convolution reads dense rows.
struct Phases {
    Int stride, size;
    Correlation taps;

    explicit Phases(const Geometry& g) : stride(g.stride) {
        taps.pitch = (g.width + 2 * g.padding + stride - 1) / stride;
        size = (g.height + 2 * g.padding + stride - 1) / stride * taps.pitch;
        // Taps one below the other are in one phase if the stride divides their distance.
        const Int step = g.dilation % stride ? stride : 1;
        taps.gap = step * g.dilation / stride;
        for (Int v = 0; v < g.kernel; ++v)
            for (Int first = 0; first < std::min(step, g.kernel); ++first) {
                std::vector<int> weights;
                for (Int u = first; u < g.kernel; u += step)
                    weights.push_back(static_cast<int>(u * g.kernel + v));
                taps.add(at(first * g.dilation, v * g.dilation), weights);
            }
    }
    // Divided without a division: the stride is 1 or 2.
    Int at(Int row, Int col) const {
        const Int shift = stride - 1;
        return ((row & shift) * stride + (col & shift)) * size + (row >> shift) * taps.pitch +
               (col >> shift);
    }
    // value(x) of every pixel of a dense plane, written into the phases, whose padding stays 0.
    // `value` takes a number or a vector of them.
    template <class T, class Value>
    void put(const Geometry& g, const T* plane, const Value& value, T* to) const {
        for (Int i = 0; i < g.height; ++i, plane += g.width) {
            T* first = to + at(i + g.padding, g.padding);
            if (stride == 1)
                row(plane, g.width, value, first);
            else
                two_rows(plane, g.width, value, first, to + at(i + g.padding, 1 + g.padding));
        }
    }
    template <class T>
    Int memory() const {
        return stride * stride * size + (ROW_STEP + 1) * taps.pitch + LANES<T>;
    }

  private:
    template <class T, class Value>
    static void row(const T* from, Int count, const Value& value, T* to) {
        if (count % LANES<T>) {
#pragma omp simd
            for (Int j = 0; j < count; ++j) to[j] = value(from[j]);
            return;
        }
        for (Int j = 0; j < count; j += LANES<T>) store(to + j, value(load(from + j)));
    }
    // Pixels of even and of odd columns.
    template <class T, class Value>
    static void two_rows(const T* from, Int count, const Value& value, T* even, T* odd) {
#pragma omp simd
        for (Int j = 0; j < count / 2; ++j) {
            const T first = from[2 * j], second = from[2 * j + 1];
            even[j] = value(first);
            odd[j] = value(second);
        }
        if (count % 2) even[count / 2] = value(from[count - 1]);
    }
};

// One phase of the gradient of the padded plane, from the zero-padded gradient of the output.
struct Adjoint {
    Int row, col, rows, cols;  // first pixel of x in this phase, and how many
    Correlation taps;
};

struct Adjoints {
    Int margin, pitch, height;
    std::vector<Adjoint> phases;

    explicit Adjoints(const Geometry& g) : margin((g.kernel - 1) * g.dilation / g.stride) {
        pitch = std::max(g.cols, (g.padding + g.width - 1) / g.stride + 1) + 2 * margin;
        height = std::max(g.rows, (g.padding + g.height - 1) / g.stride + 1) + 2 * margin;
        for (Int p = 0; p < g.stride; ++p)
            for (Int q = 0; q < g.stride; ++q) phases.push_back(phase(g, p, q));
    }
    Adjoint phase(const Geometry& g, Int p, Int q) const {
        const Int s = g.stride, i0 = (g.padding - p + s - 1) / s, j0 = (g.padding - q + s - 1) / s;
        Adjoint made;
        made.row = s * i0 + p - g.padding;
        made.col = s * j0 + q - g.padding;
        made.rows = std::max<Int>(0, (g.height - made.row + s - 1) / s);
        made.cols = std::max<Int>(0, (g.width - made.col + s - 1) / s);
        made.taps.pitch = pitch;
        made.taps.gap = (g.dilation % s ? s : 1) * g.dilation / s;
        for (Int v = 0; v < g.kernel; ++v) {
            if (v * g.dilation % s != q) continue;
            std::vector<int> weights;
            Int top = 0;
            for (Int u = g.kernel - 1; u >= 0; --u) {  // from below: the kernel is flipped
                if (u * g.dilation % s != p) continue;
                if (weights.empty()) top = i0 - u * g.dilation / s + margin;
                weights.push_back(static_cast<int>(u * g.kernel + v));
            }
            made.taps.add(top * pitch + j0 - v * g.dilation / s + margin, weights);
        }
        return made;
    }
    template <class T>
    Int memory() const {
        return (height + ROW_STEP) * pitch + LANES<T>;
    }
};

// Calls body.run<K, G>() with the number of taps of a column and their gap as constants, so that
// the loops over them unroll into registers.
template <class Body>
inline void with_constants(const Correlation& taps, const Body& body) {
    switch (taps.gap == 1 ? taps.count : -taps.count) {
        case 1: case -1: return body.template run<1, 1>();
        case 2: return body.template run<2, 1>();
        case 3: return body.template run<3, 1>();
        case 4: return body.template run<4, 1>();
        case 5: return body.template run<5, 1>();
        case 7: return body.template run<7, 1>();
        case -3: return body.template run<3, 2>();
        case -5: return body.template run<5, 2>();
        case -7: return body.template run<7, 2>();
    }
}

// Writes a wide plane of sums.
template <class T>
struct Correlate {
    const T* from;
    const Correlation& taps;
    const T* weights;
    const Wide<T>& wide;
    T* to;

    template <int K, int G>
    void run() const {
        T packed[2 * MAX_KERNEL * MAX_KERNEL], *next = packed;
        for (const Column& column : taps.columns)
            for (int t = 0; t < K; ++t)
                *next++ = column.weight[t] < 0 ? T(0) : weights[column.weight[t]];
        for (Int j = 0; j < wide.cols; j += LANES<T>) {
            Int i = 0;
            for (; i + BLOCK <= wide.rows; i += BLOCK) rows<BLOCK, K, G>(i, j, packed);
            for (; i < wide.rows; i += ROW_STEP) rows<ROW_STEP, K, G>(i, j, packed);
        }
    }

    // B rows by one vector. Every vector that is read serves up to K of them.
    template <int B, int K, int G>
    void rows(Int i, Int j, const T* packed) const {
        Vector<T> sums[B] = {};
        for (const Column& column : taps.columns) {
            const T* top = from + column.offset + i * taps.pitch + j;
            Vector<T> weight[K];
#pragma GCC unroll 16
            for (int t = 0; t < K; ++t) weight[t] = Vector<T>{} + *packed++;
#pragma GCC unroll 32
            for (int r = 0; r < B + G * (K - 1); ++r) {
                const Vector<T> row = load_once(top + r * taps.pitch);
#pragma GCC unroll 16
                for (int t = 0; t < K; ++t)
                    if (r - G * t >= 0 && r - G * t < B) sums[r - G * t] += weight[t] * row;
            }
        }
#pragma GCC unroll 16
        for (int b = 0; b < B; ++b) store(to + (i + b) * wide.cols + j, sums[b]);
    }
};

template <class T>
void correlate(const T* from, const Correlation& taps, const T* weights, const Wide<T>& wide,
               T* to) {
    if (taps.count)
        with_constants(taps, Correlate<T>{from, taps, weights, wide, to});
    else
        std::fill_n(to, wide.size, T(0));
}

// Adds sum_ij gradient[i, j] * from[i, j + tap] for every tap; the lanes stay apart, to be added up
// once in the end.
template <class T>
struct TapSums {
    const T *gradient, *from;
    const Correlation& taps;
    const Wide<T>& wide;
    Vector<T>* to;

    template <int K, int G>
    void run() const {
        for (const Column& column : taps.columns) add<K, G>(column);
    }

    template <int K, int G>
    void add(const Column& column) const {
        constexpr int SETS = K > 4 ? 1 : K > 1 ? 2 : 4;  // as many chains as hide the latency
        Vector<T> sums[SETS][K] = {};
        for (Int j = 0; j < wide.cols; j += LANES<T>) {
            Int i = 0;
            for (; i + BLOCK <= wide.rows; i += BLOCK) rows<BLOCK, K, G>(column, i, j, sums);
            for (; i < wide.rows; i += ROW_STEP) rows<ROW_STEP, K, G>(column, i, j, sums);
        }
        for (int t = 0; t < K; ++t)
            for (int s = 0; s < SETS; ++s)
                if (column.weight[t] >= 0) to[column.weight[t]] += sums[s][t];
    }

    template <int B, int K, int G, int SETS>
    inline __attribute__((always_inline)) void rows(const Column& column, Int i, Int j,
                                                    Vector<T> (&sums)[SETS][K]) const {
        const T* top = from + column.offset + i * taps.pitch + j;
        Vector<T> g[B];
#pragma GCC unroll 16
        for (int b = 0; b < B; ++b) g[b] = load_once(gradient + (i + b) * wide.cols + j);
#pragma GCC unroll 32
        for (int r = 0; r < B + G * (K - 1); ++r) {
            const Vector<T> row = load_once(top + r * taps.pitch);
#pragma GCC unroll 16
            for (int t = 0; t < K; ++t)
                if (r - G * t >= 0 && r - G * t < B) sums[r % SETS][t] += g[r - G * t] * row;
        }
    }
};

template <class T>
void sum_taps(const T* gradient, const T* from, const Correlation& taps, const Wide<T>& wide,
              Vector<T>* to) {
    with_constants(taps, TapSums<T>{gradient, from, taps, wide, to});
}

// See loops.cpp.
extern template void correlate(const NUMBER*, const Correlation&, const NUMBER*,
                               const Wide<NUMBER>&, NUMBER*);
extern template void sum_taps(const NUMBER*, const NUMBER*, const Correlation&,
                              const Wide<NUMBER>&, Vector<NUMBER>*);
