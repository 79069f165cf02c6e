// y = pointwise(depthwise(relu((x - mean) * rstd))) for several edges at once, one plane at a time:
// what lies between x and y never leaves the cache, and is computed again in the backward pass.
#include "correlation.h"

namespace {

// Products with the pointwise weights: 4 channels by 2 vectors at a time, so the channels are
// padded with zeros; the cache line between planes keeps them out of one cache set.
template <class T>
struct Block {
    static constexpr Int CHANNELS = 4, PIXELS = 2 * LANES<T>;
    static_assert(ROW_STEP % 2 == 0, "a wide plane must be a whole number of pairs of vectors");
    Int channels, pixels, stride;

    Block(const Geometry& g, const Wide<T>& wide)
        : channels(round_up(g.channels, CHANNELS)),
          pixels(wide.size),
          stride(pixels + 64 / sizeof(T)) {}
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

template <class T>
struct Input {
    const T *x, *mean, *rstd;

    // a = relu((x - mean) * rstd) of one plane into its phases, whose padding stays 0.
    void activate(const Geometry& g, const Phases& phases, Int unit, Int c, T* a) const {
        const Int channel = unit % g.groups() * g.channels + c;
        const T center = mean ? mean[channel] : T(0), scale = rstd ? rstd[channel] : T(1);
        const T* plane = x + (unit * g.channels + c) * g.pixels;
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
void forward(const Geometry& g, const Input<T>& input, const T* depthwise, const T* pointwise, T* y,
             T* mean_y, T* variance_y, Int threads) {
    const Int C = g.channels;
    const Phases phases(g);
    const Wide<T> wide(g.rows, g.cols);
    const Block<T> block(g, wide);
    const std::vector<T> weights = block.pack(g, pointwise, false);
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
                    input.activate(g, phases, unit, c, a);
                    correlate(a, phases.taps, depthwise + (edge * C + c) * g.taps(), wide,
                              d + c * block.stride);
                }
                block.product(&weights[edge * block.channels * C], C, d, out);
                for (Int c = 0; c < C; ++c) {
                    const Int channel = (unit * g.edges_inside() + inside) * C + c;
                    wide.get(y + channel * g.size, out + c * block.stride, g.rows, g.cols);
                    plane_moments(y + channel * g.size, g.size, &moments[channel * 2]);
                }
            }
    }
    channel_moments(moments, g.batch, g.edges * C, g.size, mean_y, variance_y);
}

// Gradients that are not wanted are null.
template <class T>
struct Gradients {
    const T* y;
    T *x, *depthwise, *pointwise;
};

template <class T>
class Backward {
  public:
    Backward(const Geometry& g, const Input<T>& input, const T* depthwise, const T* pointwise,
             bool through, const Gradients<T>& gradients, Int threads)
        : g(g), phases(g), adjoints(g), wide(g.rows, g.cols), block(g, wide), input(input),
          depthwise(depthwise), through(through), gradients(gradients), threads(threads),
          weights(block.pack(g, pointwise, true)), sums(g.units() * g.channels * 2) {}

    void run() {
        const Int split = g.edges * g.channels * g.taps();
        const Int own = split + g.edges * block.channels * block.channels;
        const bool any = gradients.depthwise || gradients.pointwise;
        Scratch<T> lanes(any ? threads * own * LANES<T> : 0, 1);
        Vector<T>* weight_sums = reinterpret_cast<Vector<T>*>(lanes.take(0));
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Memory memory(*this);
            Vector<T>* mine = weight_sums + omp_get_thread_num() * own;
#pragma omp for schedule(static)
            for (Int unit = 0; unit < g.units(); ++unit) run_unit(unit, memory, mine, mine + split);
        }
        // In the order of the threads: the same bits for the same number of threads.
        const auto sum = [&](Int at) {
            double found = 0;
            for (Int t = 0; t < threads; ++t) found += total<T>(weight_sums[t * own + at]);
            return static_cast<T>(found);
        };
        const Int C = g.channels;
        if (gradients.depthwise)
            for (Int i = 0; i < split; ++i) gradients.depthwise[i] = sum(i);
        if (gradients.pointwise)
            for (Int o = 0; o < g.edges * C; ++o)
                for (Int c = 0; c < C; ++c)
                    gradients.pointwise[o * C + c] =
                        sum(split + (o / C * block.channels + o % C) * block.channels + c);
        if (gradients.x && through) through_statistics();
    }

  private:
    const Geometry& g;
    const Phases phases;
    const Adjoints adjoints;
    const Wide<T> wide;
    const Block<T> block;
    const Input<T>& input;
    const T* depthwise;
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

    void run_unit(Int unit, Memory& m, Vector<T>* depthwise_sums, Vector<T>* pointwise_sums) {
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
                const Int first = (edge * C + c) * g.taps();
                const T* gd = m.gd + c * block.stride;
                if (need_a) input.activate(g, phases, unit, c, m.a);
                if (need_d)
                    correlate(m.a, phases.taps, depthwise + first, wide, m.d + c * block.stride);
                if (gradients.depthwise)
                    with_constants(phases.taps, TapSums<T>{gd, m.a, phases.taps, wide,
                                                           depthwise_sums + first});
                if (gradients.x)
                    to_input(gd, depthwise + first, m, m.ga + c * g.pixels, inside > 0);
            }
            if (need_d)
                block.outer(m.gy, m.d, pointwise_sums + edge * block.channels * block.channels);
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
        const T center = input.mean ? input.mean[channel] : T(0);
        const T scale = input.rstd ? input.rstd[channel] : T(1);
        const T* x = input.x + (unit * g.channels + c) * g.pixels;
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

    // gx = rstd * (g - mean(g) - xhat * mean(g * xhat)), means over batch and plane.
    void through_statistics() {
        const Int channels = g.groups() * g.channels;
        for (Int c = 0; c < channels; ++c)
            for (Int n = 1; n < g.batch; ++n)
                for (Int k = 0; k < 2; ++k)
                    sums[c * 2 + k] += sums[(n * channels + c) * 2 + k];
        const double count = static_cast<double>(g.batch * g.pixels);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (Int plane = 0; plane < g.batch * channels; ++plane) {
            const Int c = plane % channels;
            const T center = input.mean[c], scale = input.rstd[c];
            const T mean = static_cast<T>(sums[c * 2] / count);
            const T slope = static_cast<T>(sums[c * 2 + 1] / count * scale);
            const T* x = input.x + plane * g.pixels;
            T* gx = gradients.x + plane * g.pixels;
#pragma omp simd
            for (Int i = 0; i < g.pixels; ++i)
                gx[i] = scale * (gx[i] - mean - (x[i] - center) * slope);
        }
    }
};

}  // namespace

#define SEPARABLE(T)                                                                              \
    extern "C" void separable_forward_##T(const Int* shape, const T* x, const T* mean,            \
                                          const T* rstd, const T* depthwise, const T* pointwise,  \
                                          T* y, T* mean_y, T* variance_y, Int threads) {          \
        forward<T>(Geometry(shape), {x, mean, rstd}, depthwise, pointwise, y, mean_y, variance_y, \
                   threads);                                                                      \
    }                                                                                             \
    extern "C" void separable_backward_##T(                                                       \
        const Int* shape, const T* x, const T* mean, const T* rstd, const T* depthwise,           \
        const T* pointwise, Int through, const T* gy, T* gx, T* g_depthwise, T* g_pointwise,      \
        Int threads) {                                                                            \
        const Geometry geometry(shape);                                                           \
        const Input<T> input{x, mean, rstd};                                                      \
        const Gradients<T> gradients{gy, gx, g_depthwise, g_pointwise};                           \
        Backward<T>(geometry, input, depthwise, pointwise, through, gradients, threads).run();    \
    }

SEPARABLE(float)
SEPARABLE(double)
