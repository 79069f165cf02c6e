// Planes so small that rows would be mostly padding: the lanes of a vector are images. A plane is
// then a list of vectors, one per pixel, and no loop has a tail.
#pragma once

#include <utility>

#include "geometry.h"

// (images, count) to (count, images): `step` numbers lie between images, and lanes from `images`
// on are 0.
template <class T>
void interleave(const T* from, Int step, Int count, Int images, T* to);

// The way back; lanes from `images` on are left out.
template <class T>
void separate(const T* from, Int count, Int images, T* to, Int step);

namespace lanes {

#if defined(__clang__) || __GNUC__ >= 12
template <class T, std::size_t... I>
inline Vector<T> picked(Vector<T> a, Vector<T> b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, I...);
}
#else
template <class T, std::size_t... I>
inline Vector<T> picked(Vector<T> a, Vector<T> b, std::index_sequence<I...>) {
    using Mask = decltype(a < b);
    return __builtin_shuffle(a, b, Mask{static_cast<std::ptrdiff_t>(I)...});
}
#endif

// a0 b0 a1 b1 ... of the first halves (FIRST = 0) or of the second ones.
template <class T, std::size_t FIRST, std::size_t... I>
inline Vector<T> zipped(Vector<T> a, Vector<T> b, std::index_sequence<I...>) {
    return picked<T>(a, b, std::index_sequence<(FIRST + I / 2 + I % 2 * LANES<T>)...>{});
}

// LANES x LANES in registers: log2(LANES) perfect shuffles of its rows.
template <class T>
inline void transpose(Vector<T> (&rows)[LANES<T>]) {
    constexpr Int L = LANES<T>;
    const std::make_index_sequence<L> all;
#pragma GCC unroll 4
    for (Int round = 1; round < L; round *= 2) {
        Vector<T> next[L];
#pragma GCC unroll 8
        for (Int i = 0; i < L / 2; ++i) {
            next[2 * i] = zipped<T, 0>(rows[i], rows[i + L / 2], all);
            next[2 * i + 1] = zipped<T, L / 2>(rows[i], rows[i + L / 2], all);
        }
#pragma GCC unroll 8
        for (Int i = 0; i < L; ++i) rows[i] = next[i];
    }
}

}  // namespace lanes

template <class T>
void interleave(const T* from, Int step, Int count, Int images, T* to) {
    constexpr Int L = LANES<T>;
    Int i = 0;
    for (; i + L <= count; i += L) {
        Vector<T> rows[L] = {};
        for (Int n = 0; n < images; ++n) rows[n] = load(from + n * step + i);
        lanes::transpose<T>(rows);
        for (Int k = 0; k < L; ++k) store(to + (i + k) * L, rows[k]);
    }
    for (; i < count; ++i)
        for (Int n = 0; n < L; ++n) to[i * L + n] = n < images ? from[n * step + i] : T(0);
}

template <class T>
void separate(const T* from, Int count, Int images, T* to, Int step) {
    constexpr Int L = LANES<T>;
    Int i = 0;
    for (; i + L <= count; i += L) {
        Vector<T> rows[L];
        for (Int k = 0; k < L; ++k) rows[k] = load(from + (i + k) * L);
        lanes::transpose<T>(rows);
        for (Int n = 0; n < images; ++n) store(to + n * step + i, rows[n]);
    }
    for (; i < count; ++i)
        for (Int n = 0; n < images; ++n) to[n * step + i] = from[i * L + n];
}

// A depthwise convolution of one plane and its gradients, for one width of the plane, so that all
// places of a row are registers and what lies outside is known when this is compiled.
template <class T, int WIDTH, int KERNEL, int STRIDE, int DILATION>
struct Rows {
    static constexpr int PADDING = DILATION * (KERNEL - 1) / 2;
    static constexpr int COLS = (WIDTH + STRIDE - 1) / STRIDE;
    static constexpr Int L = LANES<T>;

    // to[j] of the row of y that tap v reads at x, or -1
    static constexpr int place(int x, int v) {
        const int from = x + PADDING - v * DILATION;
        return from >= 0 && from % STRIDE == 0 && from / STRIDE < COLS ? from / STRIDE : -1;
    }
    // y = depthwise(a)
    static void correlate(const Geometry& g, const T* a, const T* kernel, T* y) {
        for (Int i = 0; i < g.rows; ++i) {
            Vector<T> sums[COLS] = {};
            for (Int u = 0; u < KERNEL; ++u) {
                const Int row = i * STRIDE + u * DILATION - PADDING;
                if (row < 0 || row >= g.height) continue;
                const T *from = a + row * WIDTH * L, *weights = kernel + u * KERNEL;
#pragma GCC unroll 8
                for (int x = 0; x < WIDTH; ++x) {
                    const Vector<T> value = load_once(from + x * L);
#pragma GCC unroll 8
                    for (int v = 0; v < KERNEL; ++v)
                        if (place(x, v) >= 0) sums[place(x, v)] += weights[v] * value;
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < COLS; ++j) store(y + (i * COLS + j) * L, sums[j]);
        }
    }
    // The gradient of a; added to what is there if `add`.
    static void adjoint(const Geometry& g, const T* gy, const T* kernel, T* ga, bool add) {
        for (Int row = 0; row < g.height; ++row) {
            Vector<T> sums[WIDTH] = {};
            for (Int u = 0; u < KERNEL; ++u) {
                const Int from = row + PADDING - u * DILATION;
                if (from < 0 || from % STRIDE || from / STRIDE >= g.rows) continue;
                const T *gradient = gy + from / STRIDE * COLS * L, *weights = kernel + u * KERNEL;
#pragma GCC unroll 8
                for (int j = 0; j < COLS; ++j) {
                    const Vector<T> value = load_once(gradient + j * L);
#pragma GCC unroll 8
                    for (int v = 0; v < KERNEL; ++v) {
                        const int x = j * STRIDE + v * DILATION - PADDING;
                        if (x >= 0 && x < WIDTH) sums[x] += weights[v] * value;
                    }
                }
            }
#pragma GCC unroll 8
            for (int x = 0; x < WIDTH; ++x) {
                T* to = ga + (row * WIDTH + x) * L;
                store(to, add ? load(to) + sums[x] : sums[x]);
            }
        }
    }
    // Adds the gradient of the weights, lanes apart.
    static void taps(const Geometry& g, const T* gy, const T* a, Vector<T>* to) {
        constexpr int SETS = KERNEL > 3 ? 1 : 2;  // as many chains as hide the latency
        for (Int u = 0; u < KERNEL; ++u) {
            Vector<T> sums[SETS][KERNEL] = {};
            for (Int i = 0; i < g.rows; ++i) {
                const Int row = i * STRIDE + u * DILATION - PADDING;
                if (row < 0 || row >= g.height) continue;
                Vector<T> gradient[COLS];
#pragma GCC unroll 8
                for (int j = 0; j < COLS; ++j) gradient[j] = load_once(gy + (i * COLS + j) * L);
#pragma GCC unroll 8
                for (int x = 0; x < WIDTH; ++x) {
                    const Vector<T> value = load_once(a + (row * WIDTH + x) * L);
#pragma GCC unroll 8
                    for (int v = 0; v < KERNEL; ++v)
                        if (place(x, v) >= 0) sums[x % SETS][v] += gradient[place(x, v)] * value;
                }
            }
            for (int v = 0; v < KERNEL; ++v)
                for (int s = 0; s < SETS; ++s) to[u * KERNEL + v] += sums[s][v];
        }
    }
};

// The three functions of `Rows` for a geometry; `serves()` says whether there are any.
template <class T>
struct RowFunctions {
    void (*correlate)(const Geometry&, const T*, const T*, T*) = nullptr;
    void (*adjoint)(const Geometry&, const T*, const T*, T*, bool) = nullptr;
    void (*taps)(const Geometry&, const T*, const T*, Vector<T>*) = nullptr;

    explicit RowFunctions(const Geometry& g);
    bool serves() const { return correlate != nullptr; }

  private:
    template <int WIDTH>
    void of_width(const Geometry& g) {
        if (g.kernel == 3) of_kernel<WIDTH, 3>(g);
        if (g.kernel == 5) of_kernel<WIDTH, 5>(g);
    }
    template <int WIDTH, int KERNEL>
    void of_kernel(const Geometry& g) {
        if (g.stride == 1 && g.dilation == 1) take<Rows<T, WIDTH, KERNEL, 1, 1>>();
        if (g.stride == 1 && g.dilation == 2) take<Rows<T, WIDTH, KERNEL, 1, 2>>();
        if (g.stride == 2 && g.dilation == 1) take<Rows<T, WIDTH, KERNEL, 2, 1>>();
        if (g.stride == 2 && g.dilation == 2) take<Rows<T, WIDTH, KERNEL, 2, 2>>();
    }
    template <class Chosen>
    void take() {
        correlate = Chosen::correlate;
        adjoint = Chosen::adjoint;
        taps = Chosen::taps;
    }
};

template <class T>
RowFunctions<T>::RowFunctions(const Geometry& g) {
    if (g.height > 8 || g.padding * 2 != g.dilation * (g.kernel - 1)) return;
    if (g.width == 2) of_width<2>(g);
    if (g.width == 4) of_width<4>(g);
    if (g.width == 8) of_width<8>(g);
}

extern template RowFunctions<NUMBER>::RowFunctions(const Geometry& g);  // see loops.cpp
