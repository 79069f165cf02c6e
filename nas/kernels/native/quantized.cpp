// Convolutions whose input and weights are quantized where they are read, and their gradients.
#include "quantized_pointwise.h"

namespace {

// The numbers after a geometry: rungs of input and weights, and the outputs of a pointwise
// convolution, 0 for a depthwise one.
template <class T>
struct Operand {
    Ladder<T> ladder;
    const T* numbers;
};

template <class T>
struct Slopes {
    T *numbers, *clip, *gates;
};

template <class T>
std::vector<T> quantized(const Operand<T>& of, Int count) {
    std::vector<T> found(count);
    of.ladder.value(count, of.numbers, found.data());
    return found;
}

// body(way) with the way to convolve that suits the geometry.
template <class T, class Body>
void chosen(const Geometry& g, const Planes<T>& in, Int outputs, const Body& body) {
    const RowFunctions<T> rows(g);
    if (outputs)
        body(QuantizedPointwise<T>(g, in, outputs));
    else if (rows.serves())
        body(SmallDepthwise<T>(g, in, rows));
    else
        body(WideDepthwise<T>(g, in));
}

template <class T, class Way>
void forward(const Way& way, T* y, Int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        typename Way::Memory memory(way);
#pragma omp for schedule(static)
        for (Int unit = 0; unit < way.units(); ++unit) way.forward(unit, memory, y);
    }
}

// Sums are kept by unit, those of weights by thread: the same bits for as many threads.
template <class T, class Way>
void backward(const Way& way, const Geometry& g, const Operand<T>& x, const Operand<T>& w,
              Int weights, const T* gy, const Slopes<T>& to_x, const Slopes<T>& to_w,
              Int threads) {
    const Int own = way.weight_sums();
    Scratch<T> lanes(threads * own * LANES<T>, 1);
    auto* taps = reinterpret_cast<Vector<T>*>(lanes.take(0));
    std::vector<double> sums(way.units() * x.ladder.sums());
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        typename Way::Memory memory(way);
        Vector<T>* of_thread = taps + omp_get_thread_num() * own;
#pragma omp for schedule(static)
        for (Int unit = 0; unit < way.units(); ++unit)
            way.backward(unit, memory, gy, to_x.numbers, of_thread,
                         &sums[unit * x.ladder.sums()]);
    }
    x.ladder.finish(g.batch * g.channels * g.pixels, way.units(), sums.data(), to_x.clip,
                    to_x.gates);
    std::vector<T> gradient(weights);
    for (Int i = 0; i < weights; ++i) {
        double found = 0;
        for (Int t = 0; t < threads; ++t) found += total<T>(taps[t * own + way.place(i)]);
        gradient[i] = static_cast<T>(found);
    }
    double of_weights[MOST_RUNGS + 1] = {};
    w.ladder.gradient(weights, w.numbers, gradient.data(), to_w.numbers, of_weights);
    w.ladder.finish(weights, 1, of_weights, to_w.clip, to_w.gates);
}

Int count(const Geometry& g, Int outputs) { return g.channels * (outputs ? outputs : g.taps()); }

}  // namespace

using T = NUMBER;

extern "C" {

void quantized_forward(const Int* shape, const T* x, const T* clip_x, const T* gates_x,
                       const double* levels_x, const T* w, const T* clip_w, const T* gates_w,
                       const double* levels_w, T* y, Int threads) {
    const Geometry g(shape);
    const Int outputs = shape[12];
    const Ladder<T> ladder(shape[10], clip_x, gates_x, levels_x);
    const Operand<T> weights{{shape[11], clip_w, gates_w, levels_w}, w};
    const std::vector<T> numbers = quantized(weights, count(g, outputs));
    chosen(g, Planes<T>{ladder, x, numbers.data()}, outputs,
           [&](const auto& way) { forward<T>(way, y, threads); });
}
void quantized_backward(const Int* shape, const T* x, const T* clip_x, const T* gates_x,
                        const double* levels_x, const T* w, const T* clip_w, const T* gates_w,
                        const double* levels_w, const T* gy, T* gx, T* g_clip_x, T* g_gates_x,
                        T* gw, T* g_clip_w, T* g_gates_w, Int threads) {
    const Geometry g(shape);
    const Int outputs = shape[12];
    const Operand<T> input{{shape[10], clip_x, gates_x, levels_x}, x};
    const Operand<T> weights{{shape[11], clip_w, gates_w, levels_w}, w};
    const std::vector<T> numbers = quantized(weights, count(g, outputs));
    const Slopes<T> to_x{gx, g_clip_x, g_gates_x}, to_w{gw, g_clip_w, g_gates_w};
    chosen(g, Planes<T>{input.ladder, x, numbers.data()}, outputs, [&](const auto& way) {
        backward<T>(way, g, input, weights, count(g, outputs), gy, to_x, to_w, threads);
    });
}

}  // extern "C"
