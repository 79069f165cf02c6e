// What the kernels share: SIMD vectors, scratch memory, moments of planes.
//
// All tensors are dense NCHW. A "plane" is the (H, W) part that belongs to one image and channel.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using Int = std::ptrdiff_t;

// No longer with AVX-512: late planes are 8 wide, and half of each vector would be wasted.
#if defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class T>
constexpr Int LANES = VECTOR_BYTES / sizeof(T);

template <class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
inline Vector<T> load(const T* from) {
    Vector<T> value;
    std::memcpy(&value, from, VECTOR_BYTES);
    return value;
}

// A load that stays in its register: GCC would rather repeat it as an operand of every use, and
// then the loads are the limit.
template <class T>
inline Vector<T> load_once(const T* from) {
    Vector<T> value = load(from);
#if defined(__x86_64__)
    asm("" : "+x"(value));
#endif
    return value;
}

template <class T>
inline void store(T* to, Vector<T> value) {
    std::memcpy(to, &value, VECTOR_BYTES);
}

template <class T>
inline T total(Vector<T> value) {
    T lanes[LANES<T>];
    store(lanes, value);
    for (Int width = LANES<T> / 2; width > 0; width /= 2)
        for (Int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}

inline Int round_up(Int value, Int step) { return (value + step - 1) / step * step; }

// Rows are too short for a call of memcpy.
template <class T>
inline void copy_row(T* to, const T* from, Int count) {
    constexpr Int CHUNK = sizeof(T) == 1 ? 8 : LANES<T>;
    Int i = 0;
    for (; i + CHUNK <= count; i += CHUNK) std::memcpy(to + i, from + i, CHUNK * sizeof(T));
    for (; i < count; ++i) to[i] = from[i];
}

// Zeroed memory of one thread, cut into slices that start on a cache line.
template <class T>
class Scratch {
  public:
    explicit Scratch(Int count, Int slices) {
        const std::size_t bytes = round_up(count * sizeof(T) + (slices + 1) * LINE, LINE);
        memory_.reset(static_cast<char*>(std::aligned_alloc(LINE, bytes)));
        std::memset(memory_.get(), 0, bytes);
        next_ = memory_.get();
    }
    T* take(Int count) {
        T* slice = reinterpret_cast<T*>(next_);
        next_ += round_up(count * sizeof(T), LINE);
        return slice;
    }

  private:
    static constexpr Int LINE = 64;
    struct Free {
        void operator()(char* memory) const { std::free(memory); }
    };
    std::unique_ptr<char, Free> memory_;
    char* next_;
};

// A number or a vector of numbers.
template <class V, class T>
inline V read(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// sum_i term(i) for i < size, in four chains of vectors, since one would wait for its additions.
// `term` is called with a zero of the type it is to return.
template <class T, class Term>
inline T sum_over(Int size, const Term& term) {
    constexpr Int L = LANES<T>;
    Vector<T> sums[4] = {};
    Int i = 0;
    for (; i + 4 * L <= size; i += 4 * L)
        for (Int k = 0; k < 4; ++k) sums[k] += term(Vector<T>{}, i + k * L);
    for (; i + L <= size; i += L) sums[0] += term(Vector<T>{}, i);
    T rest = 0;
    for (; i < size; ++i) rest += term(T(0), i);
    return rest + total<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Mean of a plane and sum of squares around it. Two passes, since the plane is in the cache: a sum
// of plain squares would cancel.
template <class T>
inline void plane_moments(const T* plane, Int size, double* moments) {
    const T mean = sum_over<T>(size, [&](auto zero, Int i) {
        return read<decltype(zero)>(plane + i);
    }) / size;
    moments[0] = mean;
    moments[1] = sum_over<T>(size, [&](auto zero, Int i) {
        const auto centered = read<decltype(zero)>(plane + i) - mean;
        return centered * centered;
    });
}

// Mean and biased variance per channel from the moments (batch, channels, 2) of planes of one size
// (Chan's formula), in the order of the batch, so that the result does not depend on the threads.
template <class T>
inline void channel_moments(const std::vector<double>& moments, Int batch, Int channels,
                            Int size, T* mean, T* variance) {
    for (Int c = 0; c < channels; ++c) {
        double sum = 0, squares = 0;
        for (Int n = 0; n < batch; ++n) sum += moments[(n * channels + c) * 2];
        const double center = sum / batch;
        for (Int n = 0; n < batch; ++n) {
            const double* part = &moments[(n * channels + c) * 2];
            squares += part[1] + size * (part[0] - center) * (part[0] - center);
        }
        mean[c] = static_cast<T>(center);
        variance[c] = static_cast<T>(squares / (batch * size));
    }
}
