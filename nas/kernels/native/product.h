// Pointwise convolutions: products of a matrix of weights with the planes of all channels.
#pragma once

#include "geometry.h"

// Products with the pointwise weights: 4 channels by 2 vectors at a time, so the channels are
// padded with zeros; the cache line between planes keeps them out of one cache set.
template <class T>
struct Block {
    static constexpr Int CHANNELS = 4, PIXELS = 2 * LANES<T>;
    Int channels, pixels, stride;

    Block(const Geometry& g, Int pixels)
        : channels(round_up(g.channels, CHANNELS)),
          pixels(round_up(pixels, PIXELS)),
          stride(this->pixels + 64 / sizeof(T)) {}
    Int memory() const { return channels * stride; }

    // weights (channels, channels), rows in groups of 4: [row / 4][column][row % 4].
    std::vector<T> pack(const Geometry& g, const T* weights, bool transposed) const {
        const Int C = g.channels;
        std::vector<T> packed(g.edges * channels * C);
        for (Int e = 0; e < g.edges; ++e)
            for (Int o = 0; o < C; ++o)
                for (Int c = 0; c < C; ++c)
                    packed[e * channels * C + (o / CHANNELS * C + c) * CHANNELS + o % CHANNELS] =
                        weights[e * C * C + (transposed ? c * C + o : o * C + c)];
        return packed;
    }

    // to[o] = sum_c weights[o, c] * from[c]
    void product(const T* weights, Int inputs, const T* from, T* to) const {
        constexpr Int L = LANES<T>;
        for (Int m = 0; m < pixels; m += PIXELS)
            for (Int o = 0; o < channels; o += CHANNELS) {
                Vector<T> sums[CHANNELS][2] = {};
                for (Int c = 0; c < inputs; ++c) {
                    const Vector<T> a = load_once(from + c * stride + m);
                    const Vector<T> b = load_once(from + c * stride + m + L);
                    for (Int r = 0; r < CHANNELS; ++r) {
                        const T weight = weights[(o / CHANNELS * inputs + c) * CHANNELS + r];
                        sums[r][0] += weight * a;
                        sums[r][1] += weight * b;
                    }
                }
                for (Int r = 0; r < CHANNELS; ++r) {
                    store(to + (o + r) * stride + m, sums[r][0]);
                    store(to + (o + r) * stride + m + L, sums[r][1]);
                }
            }
    }

    // to[o, c] += sum_m a[o, m] * b[c, m] over all (padded) channels, lanes apart
    void outer(const T* a, const T* b, Vector<T>* to) const {
        for (Int o = 0; o < channels; o += 4)
            for (Int c = 0; c < channels; c += 2) {
                Vector<T> sums[4][2] = {};
                for (Int m = 0; m < pixels; m += LANES<T>) {
                    const Vector<T> left = load_once(b + c * stride + m);
                    const Vector<T> right = load_once(b + (c + 1) * stride + m);
                    for (Int r = 0; r < 4; ++r) {
                        const Vector<T> row = load_once(a + (o + r) * stride + m);
                        sums[r][0] += row * left;
                        sums[r][1] += row * right;
                    }
                }
                for (Int r = 0; r < 4; ++r)
                    for (Int q = 0; q < 2; ++q) to[(o + r) * channels + c + q] += sums[r][q];
            }
    }
};
