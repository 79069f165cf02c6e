// Depthwise convolutions of quantized planes: each is quantized where it is read, and again in the
// backward pass.
#pragma once

#include "adjoint.h"
#include "interleaved.h"
#include "ladder.h"

// What a way to convolve reads and, for its gradients, writes.
template <class T>
struct Planes {
    const Ladder<T>& ladder;
    const T *x, *weights;  // weights are quantized already
};

// Pointers into the scratch of one thread, slice by slice.
template <class T, int N>
struct Slices {
    Scratch<T> all;
    T* part[N];

    explicit Slices(const Int (&counts)[N]) : all(sum(counts), N) {
        for (int i = 0; i < N; ++i) part[i] = all.take(counts[i]);
    }
    static Int sum(const Int (&counts)[N]) {
        Int found = 0;
        for (const Int count : counts) found += count;
        return found;
    }
};

// One plane at a time.
template <class T>
class WideDepthwise {
  public:
    WideDepthwise(const Geometry& g, const Planes<T>& in)
        : g_(g), in_(in), phases_(g), adjoint_(g), wide_(g.rows, g.cols) {}

    Int units() const { return g_.batch * g_.channels; }
    Int weight_sums() const { return g_.channels * g_.taps(); }
    Int place(Int weight) const { return weight; }

    struct Memory : Slices<T, 4> {
        explicit Memory(const WideDepthwise& of)
            : Slices<T, 4>({of.g_.pixels, of.phases_.template memory<T>(), of.wide_.size,
                            of.adjoint_.memory()}) {}
    };

    void forward(Int plane, Memory& memory, T* y) const {
        auto& [q, a, d, rest] = memory.part;
        quantize(plane, q, a);
        T* to = y + plane * g_.size;
        const bool dense = wide_.size == g_.size;
        correlate(a, phases_.taps, kernel(plane), wide_, dense ? to : d);
        if (!dense) wide_.get(to, d, g_.rows, g_.cols);
    }
    void backward(Int plane, Memory& memory, const T* gy, T* gx, Vector<T>* weights,
                  double* sums) const {
        auto& [q, a, d, rest] = memory.part;
        quantize(plane, q, a);
        const T* gradient = gy + plane * g_.size;
        if (wide_.size != g_.size) {
            wide_.put(d, gradient, g_.rows, g_.cols);
            gradient = d;
        }
        sum_taps(gradient, a, phases_.taps, wide_, weights + plane % g_.channels * g_.taps());
        adjoint_.run(gradient, kernel(plane), rest, q, false);
        const Int at = plane * g_.pixels;
        in_.ladder.gradient(g_.pixels, in_.x + at, q, gx + at, sums);
    }

  private:
    const Geometry& g_;
    const Planes<T>& in_;
    const Phases phases_;
    const PlaneAdjoint<T> adjoint_;
    const Wide<T> wide_;

    const T* kernel(Int plane) const { return in_.weights + plane % g_.channels * g_.taps(); }
    void quantize(Int plane, T* q, T* a) const {
        in_.ladder.value(g_.pixels, in_.x + plane * g_.pixels, q);
        phases_.put(g_, q, [](auto value) { return value; }, a);
    }
};

// Planes of one channel, as many images at a time as a vector has lanes.
template <class T>
class SmallDepthwise {
  public:
    SmallDepthwise(const Geometry& g, const Planes<T>& in, const RowFunctions<T>& rows)
        : g_(g), in_(in), rows_(rows) {}

    Int units() const { return (g_.batch + L - 1) / L * g_.channels; }
    Int weight_sums() const { return g_.channels * g_.taps(); }
    Int place(Int weight) const { return weight; }

    struct Memory : Slices<T, 4> {
        explicit Memory(const SmallDepthwise& of)
            : Slices<T, 4>({of.g_.pixels * L, of.g_.pixels * L, of.g_.pixels * L,
                            of.g_.size * L}) {}
    };

    void forward(Int unit, Memory& memory, T* y) const {
        auto& [x, q, rest, d] = memory.part;
        const Part part(g_, unit);
        quantize(part, x, q);
        rows_.correlate(g_, q, kernel(part), d);
        separate(d, g_.size, part.images, y + part.plane * g_.size, g_.channels * g_.size);
    }
    void backward(Int unit, Memory& memory, const T* gy, T* gx, Vector<T>* weights,
                  double* sums) const {
        auto& [x, q, gq, d] = memory.part;
        const Part part(g_, unit);
        quantize(part, x, q);
        interleave(gy + part.plane * g_.size, g_.channels * g_.size, g_.size, part.images, d);
        rows_.taps(g_, d, q, weights + part.channel * g_.taps());
        rows_.adjoint(g_, d, kernel(part), gq, false);
        in_.ladder.gradient(g_.pixels * L, x, gq, q, sums);
        separate(q, g_.pixels, part.images, gx + part.plane * g_.pixels, g_.channels * g_.pixels);
    }

  private:
    static constexpr Int L = LANES<T>;
    const Geometry& g_;
    const Planes<T>& in_;
    const RowFunctions<T>& rows_;

    struct Part {
        Int channel, plane, images;  // plane: of the first image

        Part(const Geometry& g, Int unit) : channel(unit % g.channels) {
            const Int first = unit / g.channels * L;
            plane = first * g.channels + channel;
            images = std::min<Int>(L, g.batch - first);
        }
    };

    const T* kernel(const Part& part) const { return in_.weights + part.channel * g_.taps(); }
    void quantize(const Part& part, T* x, T* q) const {
        const T* planes = in_.x + part.plane * g_.pixels;
        interleave(planes, g_.channels * g_.pixels, g_.pixels, part.images, x);
        in_.ladder.value(g_.pixels * L, x, q);
    }
};
