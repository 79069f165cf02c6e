// Pointwise convolutions: products of a matrix of weights with the planes of all channels.
#pragma once

#include "geometry.h"

// Products with the pointwise weights: 4 channels by 2 vectors at a time, so the channels are
// padded with zeros; the cache line between planes keeps them out of one cache set.
template <class T>
struct Block {
    static constexpr Int CHANNELS = 4, PIXELS = 2 * LANES<T>;
    Int outputs, channels, pixels, stride;  // channels: outputs with those that are padding

    Block(Int outputs, Int pixels)
        : outputs(outputs),
          channels(round_up(outputs, CHANNELS)),
          pixels(round_up(pixels, PIXELS)),
          stride(this->pixels + 64 / sizeof(T)) {}
    Int memory() const { return channels * stride; }

    // weights (outputs, inputs) of each edge, rows in groups of 4: [row / 4][column][row % 4].
    std::vector<T> pack(Int edges, Int inputs, const T* weights, bool transposed) const {
        std::vector<T> packed(edges * channels * inputs);
        for (Int e = 0; e < edges; ++e, weights += outputs * inputs)
            for (Int o = 0; o < outputs; ++o)
                for (Int c = 0; c < inputs; ++c)
                    packed[e * channels * inputs + (o / CHANNELS * inputs + c) * CHANNELS +
                           o % CHANNELS] = weights[transposed ? c * outputs + o : o * inputs + c];
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

    // to[o, c] += sum_m a[o, m] * b[c, m] over all (padded) channels and an even number of inputs,
    // lanes apart
    void outer(const T* a, const T* b, Int inputs, Vector<T>* to) const {
        for (Int o = 0; o < channels; o += 4)
            for (Int c = 0; c < inputs; c += 2) {
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
                    for (Int q = 0; q < 2; ++q) to[(o + r) * inputs + c + q] += sums[r][q];
            }
    }
};
