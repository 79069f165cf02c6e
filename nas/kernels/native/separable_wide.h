// The separable convolution one plane at a time: what lies between x and y never leaves the cache, and
// is computed again in the backward pass.
#pragma once

#include "adjoint.h"
#include "operands.h"

namespace wide {

// Writes activations into phases.
template <class T>
struct Activation {
    const Operands<T>& in;

    // a = relu((x - mean) * rstd) of one plane.
    void activate(const Geometry& g, const Phases& phases, Int unit, Int c, T* a) const {
        const Int channel = unit % g.groups() * g.channels + c;
        const T center = in.mean ? in.mean[channel] : T(0);
        const T scale = in.rstd ? in.rstd[channel] : T(1);
        // value < 0 rather than value > 0, so that NaN stays NaN.
        const auto relu = [=](auto value) {
            const auto normalized = (value - center) * scale;
            return normalized < 0 ? decltype(value){} : normalized;
        };
        phases.put(g, in.x + (unit * g.channels + c) * g.pixels, relu, a);
    }
};

template <class T>
void forward(const Geometry& g, const Operands<T>& in, const Results<T>& to, Int threads) {
    const Int C = g.channels;
    const Phases phases(g);
    const Activation<T> activation{in};
    const Wide<T> wide(g.rows, g.cols);
    const Block<T> block(g.channels, wide.size);
    const std::vector<T> weights = block.pack(g.edges, g.channels, in.pointwise, false);
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
        : g(g), phases(g), adjoint(g), wide(g.rows, g.cols), block(g.channels, wide.size), in(in),
          activation{in}, through(through), gradients(gradients), threads(threads),
          weights(block.pack(g.edges, g.channels, in.pointwise, true)),
          sums(g.units() * g.channels * 2) {}

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
    const PlaneAdjoint<T> adjoint;
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
        T *a, *adjoint, *ga, *gy, *gd, *d;

        explicit Memory(const Backward& b)
            : all(b.phases.template memory<T>() + b.adjoint.memory() + b.g.channels * b.g.pixels +
                      3 * b.block.memory(),
                  6) {
            a = all.take(b.phases.template memory<T>());
            adjoint = all.take(b.adjoint.memory());
            ga = all.take(b.g.channels * b.g.pixels);
            gy = all.take(b.block.memory());
            gd = all.take(b.block.memory());
            d = all.take(b.block.memory());
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
                    sum_taps(gd, m.a, phases.taps, wide,
                             weight_sums.depthwise(thread, edge * C + c));
                if (gradients.x)
                    adjoint.run(gd, kernel, m.adjoint, m.ga + c * g.pixels, inside > 0);
            }
            if (need_d)
                block.outer(m.gy, m.d, block.channels, weight_sums.pointwise(thread, edge));
        }
        if (gradients.x)
            for (Int c = 0; c < C; ++c) to_normalized(unit, c, m.ga + c * g.pixels);
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
