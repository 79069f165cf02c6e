// The separable convolution of small planes, as many images at a time as a vector has lanes.
#pragma once

#include "interleaved.h"
#include "operands.h"

namespace small {

// Images `first` to `first + images` of the channels of one group.
struct Unit {
    Int first, images, group;

    template <class T>
    static Int count(const Geometry& g) {
        return (g.batch + LANES<T> - 1) / LANES<T> * g.groups();
    }
    template <class T>
    static Unit at(const Geometry& g, Int index) {
        const Int first = index / g.groups() * LANES<T>;
        return {first, std::min<Int>(LANES<T>, g.batch - first), index % g.groups()};
    }
};

// Planes (channels, pixels) of all images of a unit to and from one block of vectors.
template <class T>
struct Planes {
    Int channels, pixels, stride;  // stride: numbers from one channel to the next inside

    void read(const T* from, Int step, Int images, T* to) const {
        for (Int c = 0; c < channels; ++c)
            interleave(from + c * pixels, step, pixels, images, to + c * stride);
    }
    void write(const T* from, Int images, T* to, Int step) const {
        for (Int c = 0; c < channels; ++c)
            separate(from + c * stride, pixels, images, to + c * pixels, step);
    }
};

template <class T>
struct Normalization {
    const Operands<T>& in;

    T center(Int channel) const { return in.mean ? in.mean[channel] : T(0); }
    T scale(Int channel) const { return in.rstd ? in.rstd[channel] : T(1); }

    // value < 0 rather than value > 0, so that NaN stays NaN
    void activate(const T* x, Int channel, Int pixels, T* a) const {
        const T mean = center(channel), rstd = scale(channel);
        for (Int i = 0; i < pixels * LANES<T>; i += LANES<T>) {
            const Vector<T> normalized = (load(x + i) - mean) * rstd;
            store(a + i, normalized < 0 ? Vector<T>{} : normalized);
        }
    }
};

// Sum and sum of squares around the mean, or any other pair per image, into (batch, channels, 2).
template <class T>
void keep(Vector<T> first, Vector<T> second, const Unit& unit, Int channel, Int channels,
          std::vector<double>& to) {
    for (Int n = 0; n < unit.images; ++n) {
        double* pair = &to[((unit.first + n) * channels + channel) * 2];
        pair[0] = first[n];
        pair[1] = second[n];
    }
}

template <class T>
void forward(const Geometry& g, const RowFunctions<T>& rows, const Operands<T>& in,
             const Results<T>& to, Int threads) {
    constexpr Int L = LANES<T>;
    const Int C = g.channels, inputs = g.groups() * C, outputs = g.edges * C;
    const Block<T> block(g.channels, g.size * L);
    const Normalization<T> normalization{in};
    const Planes<T> planes_x{C, g.pixels, g.pixels * L}, planes_y{C, g.size, block.stride};
    const std::vector<T> weights = block.pack(g.edges, g.channels, in.pointwise, false);
    std::vector<double> moments(g.batch * outputs * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch<T> scratch(C * g.pixels * L + 2 * block.memory(), 3);
        T *a = scratch.take(C * g.pixels * L), *d = scratch.take(block.memory());
        T* out = scratch.take(block.memory());
#pragma omp for schedule(static)
        for (Int index = 0; index < Unit::count<T>(g); ++index) {
            const Unit unit = Unit::at<T>(g, index);
            planes_x.read(in.x + (unit.first * inputs + unit.group * C) * g.pixels,
                          inputs * g.pixels, unit.images, a);
            for (Int c = 0; c < C; ++c)
                normalization.activate(a + c * g.pixels * L, unit.group * C + c, g.pixels,
                                       a + c * g.pixels * L);
            for (Int edge = unit.group; edge < unit.group + g.edges_inside(); ++edge) {
                for (Int c = 0; c < C; ++c)
                    rows.correlate(g, a + c * g.pixels * L, in.depthwise + (edge * C + c) * g.taps(),
                                   d + c * block.stride);
                block.product(&weights[edge * block.channels * C], C, d, out);
                planes_y.write(out, unit.images, to.y + (unit.first * outputs + edge * C) * g.size,
                               outputs * g.size);
                for (Int c = 0; c < C; ++c) {
                    const T* plane = out + c * block.stride;
                    Vector<T> mean{}, squares{};
                    for (Int i = 0; i < g.size; ++i) mean += load(plane + i * L);
                    mean /= static_cast<T>(g.size);
                    for (Int i = 0; i < g.size; ++i) {
                        const Vector<T> centered = load(plane + i * L) - mean;
                        squares += centered * centered;
                    }
                    keep<T>(mean, squares, unit, edge * C + c, outputs, moments);
                }
            }
        }
    }
    channel_moments(moments, g.batch, outputs, g.size, to.mean, to.variance);
}

template <class T>
class Backward {
  public:
    Backward(const Geometry& g, const RowFunctions<T>& rows, const Operands<T>& in, bool through,
             const Gradients<T>& gradients, Int threads)
        : g(g), rows(rows), block(g.channels, g.size * L), in(in), normalization{in},
          through(through), gradients(gradients), threads(threads),
          weights(block.pack(g.edges, g.channels, in.pointwise, true)),
          planes_x{g.channels, g.pixels, g.pixels * L},
          planes_y{g.channels, g.size, block.stride}, inputs(g.groups() * g.channels),
          outputs(g.edges * g.channels), sums(g.batch * inputs * 2) {}

    void run() {
        const WeightSums<T> weight_sums(g, block, gradients, threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Memory memory(g.channels * g.pixels * L, block.memory());
#pragma omp for schedule(static)
            for (Int index = 0; index < Unit::count<T>(g); ++index)
                run_unit(Unit::at<T>(g, index), memory, weight_sums, omp_get_thread_num());
        }
        weight_sums.write(gradients);
        if (gradients.x && through) through_statistics(g, in, sums, gradients.x, threads);
    }

  private:
    static constexpr Int L = LANES<T>;
    const Geometry& g;
    const RowFunctions<T>& rows;
    const Block<T> block;
    const Operands<T>& in;
    const Normalization<T> normalization;
    const bool through;
    const Gradients<T>& gradients;
    const Int threads;
    const std::vector<T> weights;
    const Planes<T> planes_x, planes_y;
    const Int inputs, outputs;  // channels of x and y
    std::vector<double> sums;   // (batch, inputs, 2): sum(g) and sum(g * xhat)

    struct Memory {
        Scratch<T> all;
        T *x, *a, *ga, *gy, *gd, *d;

        Memory(Int of_x, Int of_y) : all(3 * of_x + 3 * of_y, 6) {
            for (T** part : {&x, &a, &ga}) *part = all.take(of_x);
            for (T** part : {&gy, &gd, &d}) *part = all.take(of_y);
        }
    };

    void run_unit(const Unit& unit, Memory& m, const WeightSums<T>& weight_sums, Int thread) {
        const Int C = g.channels, plane = g.pixels * L;
        const bool need_d = gradients.pointwise, need_a = need_d || gradients.depthwise;
        const Int first = (unit.first * inputs + unit.group * C) * g.pixels;
        planes_x.read(in.x + first, inputs * g.pixels, unit.images, m.x);
        if (need_a)
            for (Int c = 0; c < C; ++c)
                normalization.activate(m.x + c * plane, unit.group * C + c, g.pixels,
                                       m.a + c * plane);
        for (Int edge = unit.group; edge < unit.group + g.edges_inside(); ++edge) {
            planes_y.read(gradients.y + (unit.first * outputs + edge * C) * g.size,
                          outputs * g.size, unit.images, m.gy);
            if (gradients.x || gradients.depthwise)
                block.product(&weights[edge * block.channels * C], C, m.gy, m.gd);
            for (Int c = 0; c < C; ++c) {
                const T* kernel = in.depthwise + (edge * C + c) * g.taps();
                const T *a = m.a + c * plane, *gd = m.gd + c * block.stride;
                if (need_d) rows.correlate(g, a, kernel, m.d + c * block.stride);
                if (gradients.depthwise)
                    rows.taps(g, gd, a, weight_sums.depthwise(thread, edge * C + c));
                if (gradients.x) rows.adjoint(g, gd, kernel, m.ga + c * plane, edge > unit.group);
            }
            if (need_d) block.outer(m.gy, m.d, block.channels, weight_sums.pointwise(thread, edge));
        }
        if (!gradients.x) return;
        for (Int c = 0; c < C; ++c) to_normalized(unit, c, m.x + c * plane, m.ga + c * plane);
        planes_x.write(m.ga, unit.images, gradients.x + first, inputs * g.pixels);
    }

    // From the gradient of a to that of x; where it also goes through the statistics, to that of
    // xhat.
    void to_normalized(const Unit& unit, Int c, const T* x, T* ga) {
        const Int channel = unit.group * g.channels + c;
        const T center = normalization.center(channel), scale = normalization.scale(channel);
        const T outer = through ? T(1) : scale;
        Vector<T> sum{}, product{};
        for (Int i = 0; i < g.pixels * L; i += L) {
            const Vector<T> normalized = (load(x + i) - center) * scale;
            const Vector<T> gradient = normalized <= 0 ? Vector<T>{} : load(ga + i);
            sum += gradient;
            product += gradient * normalized;
            store(ga + i, gradient * outer);
        }
        keep<T>(sum, product, unit, channel, inputs, sums);
    }
};

}  // namespace small
