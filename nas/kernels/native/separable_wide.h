// The separable convolution one plane at a time: what lies between x and y never leaves the cache, and
// is computed again in the backward pass.
#pragma once

#include "correlation.h"
#include "operands.h"

namespace wide {

// Writes activations into phases.
template <class T>
struct Activation {
    const Operands<T>& in;

    // a = relu((x - mean) * rstd) of one plane into its phases, whose padding stays 0.
    void activate(const Geometry& g, const Phases& phases, Int unit, Int c, T* a) const {
        const Int channel = unit % g.groups() * g.channels + c;
        const T center = in.mean ? in.mean[channel] : T(0);
        const T scale = in.rstd ? in.rstd[channel] : T(1);
        const T* plane = in.x + (unit * g.channels + c) * g.pixels;
        for (Int i = 0; i < g.height; ++i, plane += g.width) {
            T* to = a + phases.at(i + g.padding, g.padding);
            if (g.stride == 1)
                row(plane, g.width, center, scale, to);
            else
                two_rows(plane, g.width, center, scale, to,
                         a + phases.at(i + g.padding, 1 + g.padding));
        }
    }

  private:
    // value < 0 rather than value > 0, so that NaN stays NaN.
    static T relu(T value, T center, T scale) {
        const T normalized = (value - center) * scale;
        return normalized < 0 ? T(0) : normalized;
    }
    static void row(const T* from, Int count, T center, T scale, T* to) {
        if (count % LANES<T>) {
#pragma omp simd
            for (Int j = 0; j < count; ++j) to[j] = relu(from[j], center, scale);
            return;
        }
        for (Int j = 0; j < count; j += LANES<T>) {
            const Vector<T> normalized = (load(from + j) - center) * scale;
            store(to + j, normalized < 0 ? Vector<T>{} : normalized);
        }
    }
    // Pixels of even and of odd columns.
    static void two_rows(const T* from, Int count, T center, T scale, T* even, T* odd) {
#pragma omp simd
        for (Int j = 0; j < count / 2; ++j) {
            const T first = from[2 * j], second = from[2 * j + 1];
            even[j] = relu(first, center, scale);
            odd[j] = relu(second, center, scale);
        }
        if (count % 2) even[count / 2] = relu(from[count - 1], center, scale);
    }
};

template <class T>
void forward(const Geometry& g, const Operands<T>& in, const Results<T>& to, Int threads) {
    const Int C = g.channels;
    const Phases phases(g);
    const Activation<T> activation{in};
    const Wide<T> wide(g.rows, g.cols);
    const Block<T> block(g, wide.size);
    const std::vector<T> weights = block.pack(g, in.pointwise, false);
    std::vector<double> moments(g.batch * g.edges * C * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const Int plane = phases.template memory<T>();
        Scratch<T> scratch(plane + 2 * block.memory(), 3);
        T *a = scratch.take(plane), *d = scratch.take(block.memory());
        T* out = scratch.take(block.memory());
#pragma omp for schedule(static)
        for (Int unit = 0; unit < g.units(); ++unit)
            for (Int inside = 0; inside < g.edges_inside(); ++inside) {
                const Int edge = unit % g.groups() + inside;
                for (Int c = 0; c < C; ++c) {
                    activation.activate(g, phases, unit, c, a);
                    correlate(a, phases.taps, in.depthwise + (edge * C + c) * g.taps(), wide,
                              d + c * block.stride);
                }
                block.product(&weights[edge * block.channels * C], C, d, out);
                for (Int c = 0; c < C; ++c) {
                    const Int channel = (unit * g.edges_inside() + inside) * C + c;
                    wide.get(to.y + channel * g.size, out + c * block.stride, g.rows, g.cols);
                    plane_moments(to.y + channel * g.size, g.size, &moments[channel * 2]);
                }
            }
    }
    channel_moments(moments, g.batch, g.edges * C, g.size, to.mean, to.variance);
}

template <class T>
class Backward {
  public:
    Backward(const Geometry& g, const Operands<T>& in, bool through, const Gradients<T>& gradients,
             Int threads)
        : g(g), phases(g), adjoints(g), wide(g.rows, g.cols), block(g, wide.size), in(in),
          activation{in}, through(through), gradients(gradients), threads(threads),
          weights(block.pack(g, in.pointwise, true)), sums(g.units() * g.channels * 2) {}

    void run() {
        const WeightSums<T> weight_sums(g, block, gradients, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Memory memory(*this);
#pragma omp for schedule(static)
            for (Int unit = 0; unit < g.units(); ++unit)
                run_unit(unit, memory, weight_sums, omp_get_thread_num());
        }
        weight_sums.write(gradients);
        if (gradients.x && through) through_statistics(g, in, sums, gradients.x, threads);
    }

  private:
    const Geometry& g;
    const Phases phases;
    const Adjoints adjoints;
    const Wide<T> wide;
    const Block<T> block;
    const Operands<T>& in;
    const Activation<T> activation;
    const bool through;
    const Gradients<T>& gradients;
    const Int threads;
    const std::vector<T> weights;
    std::vector<double> sums;  // (units, C, 2): sum(g) and sum(g * xhat)

    struct Memory {
        Scratch<T> all;
        T *a, *gd_padded, *even, *odd, *ga, *gy, *gd, *d;

        explicit Memory(const Backward& b)
            : all(b.phases.template memory<T>() + b.adjoints.template memory<T>() +
                      2 * phase_size(b) + b.g.channels * b.g.pixels + 3 * b.block.memory(),
                  8) {
            a = all.take(b.phases.template memory<T>());
            gd_padded = all.take(b.adjoints.template memory<T>());
            even = all.take(phase_size(b));
            odd = all.take(phase_size(b));
            ga = all.take(b.g.channels * b.g.pixels);
            gy = all.take(b.block.memory());
            gd = all.take(b.block.memory());
            d = all.take(b.block.memory());
        }
        static Int phase_size(const Backward& b) {
            Int most = 0;
            for (const Adjoint& at : b.adjoints.phases)
                most = std::max(most, Wide<T>(at.rows, at.cols).size);
            return most;
        }
    };

    void run_unit(Int unit, Memory& m, const WeightSums<T>& weight_sums, Int thread) {
        const Int C = g.channels;
        const bool need_d = gradients.pointwise, need_a = need_d || gradients.depthwise;
        for (Int inside = 0; inside < g.edges_inside(); ++inside) {
            const Int edge = unit % g.groups() + inside;
            const T* gy = gradients.y + (unit * g.edges_inside() + inside) * C * g.size;
            for (Int c = 0; c < C; ++c)
                wide.put(m.gy + c * block.stride, gy + c * g.size, g.rows, g.cols);
            if (gradients.x || gradients.depthwise)
                block.product(&weights[edge * block.channels * C], C, m.gy, m.gd);
            for (Int c = 0; c < C; ++c) {
                const T* kernel = in.depthwise + (edge * C + c) * g.taps();
                const T* gd = m.gd + c * block.stride;
                if (need_a) activation.activate(g, phases, unit, c, m.a);
                if (need_d)
                    correlate(m.a, phases.taps, kernel, wide, m.d + c * block.stride);
                if (gradients.depthwise)
                    with_constants(phases.taps,
                                   TapSums<T>{gd, m.a, phases.taps, wide,
                                              weight_sums.depthwise(thread, edge * C + c)});
                if (gradients.x)
                    to_input(gd, kernel, m, m.ga + c * g.pixels, inside > 0);
            }
            if (need_d)
                block.outer(m.gy, m.d, weight_sums.pointwise(thread, edge));
        }
        if (gradients.x)
            for (Int c = 0; c < C; ++c) to_normalized(unit, c, m.ga + c * g.pixels);
    }

    // Sets or adds the gradient with respect to one plane of a.
    void to_input(const T* gd, const T* kernel, Memory& m, T* ga, bool add) const {
        T* corner = m.gd_padded + adjoints.margin * adjoints.pitch + adjoints.margin;
        for (Int i = 0; i < g.rows; ++i)
            copy_row(corner + i * adjoints.pitch, gd + i * wide.cols, g.cols);
        if (g.stride == 1) {
            const Wide<T> part(g.height, g.width);
            const bool direct = !add && part.size == g.pixels;
            correlate(m.gd_padded, adjoints.phases[0].taps, kernel, part, direct ? ga : m.even);
            for (Int i = 0; i < g.height && !direct; ++i)
                put(m.even + i * part.cols, g.width, ga + i * g.width, add);
            return;
        }
        for (int p = 0; p < 4; p += 2) {  // rows of one parity
            const bool swap = adjoints.phases[p].col == 1;
            const Adjoint &even = adjoints.phases[p + swap], &odd = adjoints.phases[p + !swap];
            const Wide<T> left(even.rows, even.cols), right(odd.rows, odd.cols);
            correlate(m.gd_padded, even.taps, kernel, left, m.even);
            correlate(m.gd_padded, odd.taps, kernel, right, m.odd);
            for (Int i = 0; i < even.rows; ++i)
                put_two(m.even + i * left.cols, m.odd + i * right.cols, g.width,
                        ga + (even.row + 2 * i) * g.width, add);
        }
    }

    static void put(const T* from, Int count, T* to, bool add) {
        if (add) {
#pragma omp simd
            for (Int j = 0; j < count; ++j) to[j] += from[j];
        } else {
            copy_row(to, from, count);
        }
    }
    static void put_two(const T* even, const T* odd, Int count, T* to, bool add) {
#pragma omp simd
        for (Int j = 0; j < count / 2; ++j) {
            const T first = to[2 * j], second = to[2 * j + 1];
            to[2 * j] = add ? first + even[j] : even[j];
            to[2 * j + 1] = add ? second + odd[j] : odd[j];
        }
        if (count % 2) to[count - 1] = even[count / 2] + (add ? to[count - 1] : T(0));
    }

    // gx of one plane; where it also goes through the statistics, the gradient with respect to
    // xhat.
    void to_normalized(Int unit, Int c, const T* ga) {
        const Int channel = unit % g.groups() * g.channels + c;
        const T center = in.mean ? in.mean[channel] : T(0);
        const T scale = in.rstd ? in.rstd[channel] : T(1);
        const T* x = in.x + (unit * g.channels + c) * g.pixels;
        T* gx = gradients.x + (unit * g.channels + c) * g.pixels;
        const T outer = through ? T(1) : scale;
        T sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
        for (Int i = 0; i < g.pixels; ++i) {
            const T normalized = (x[i] - center) * scale;
            const T value = ga[i], gradient = normalized <= 0 ? T(0) : value;
            sum += gradient;
            product += gradient * normalized;
            gx[i] = gradient * outer;
        }
        sums[(unit * g.channels + c) * 2] = sum;
        sums[(unit * g.channels + c) * 2 + 1] = product;
    }
};

}  // namespace wide
