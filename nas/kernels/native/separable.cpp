// y = pointwise(depthwise(relu((x - mean) * rstd))) for several edges at once, one plane at a time:
// what lies between x and y never leaves the cache, and is computed again in the backward pass.
#include "common.h"

namespace {

constexpr int BLOCK = 8;      // vectors that are accumulated at a time
constexpr int MAX_TAPS = 49;  // 7 x 7

// The fields of `shape`, as Python passes them, and what follows from them.
struct Geometry {
    Int batch, channels, edges, shared, height, width, kernel, stride, padding, dilation;
    Int rows, cols, size, pixels;  // of y, and planes of y and x

    explicit Geometry(const Int* shape) {
        std::memcpy(this, shape, 10 * sizeof(Int));
        const Int reach = dilation * (kernel - 1) + 1;
        rows = (height + 2 * padding - reach) / stride + 1;
        cols = (width + 2 * padding - reach) / stride + 1;
        size = rows * cols;
        pixels = height * width;
    }
    // A unit is what one thread does at a time: an image, of one edge unless all edges share it.
    Int groups() const { return shared ? 1 : edges; }
    Int edges_inside() const { return shared ? edges : 1; }
    Int units() const { return batch * groups(); }
    Int taps() const { return kernel * kernel; }
};

// Taps of a correlation: where each reads relative to the output position, and its weight's place.
struct Taps {
    int count = 0;
    Int offset[MAX_TAPS];
    int weight[MAX_TAPS];

    void add(Int where, int which) {
        offset[count] = where;
        weight[count++] = which;
    }
};

// A zero-padded plane kept as stride x stride phases: phase (p, q) holds the padded pixels
// (stride * i + p, stride * j + q). So every tap of a strided convolution reads dense rows.
struct Phases {
    Int stride, pitch, size, begin;
    Taps taps;

    explicit Phases(const Geometry& g) : stride(g.stride), begin(g.padding) {
        pitch = (g.width + 2 * g.padding + stride - 1) / stride;
        size = (g.height + 2 * g.padding + stride - 1) / stride * pitch;
        for (Int u = 0; u < g.kernel; ++u)
            for (Int v = 0; v < g.kernel; ++v)
                taps.add(at(u * g.dilation, v * g.dilation), u * g.kernel + v);
    }
    Int at(Int row, Int col) const {
        return ((row % stride) * stride + col % stride) * size + row / stride * pitch +
               col / stride;
    }
    template <class T>
    Int memory() const {
        return stride * stride * size + pitch + 2 * LANES<T>;
    }
};

// One phase of the gradient of the padded plane, from the zero-padded gradient of the output.
struct Adjoint {
    Int row, col, rows, cols;  // first pixel of x in this phase, and how many
    Taps taps;
};

struct Adjoints {
    Int margin, pitch, height;
    std::vector<Adjoint> phases;

    explicit Adjoints(const Geometry& g) : margin((g.kernel - 1) * g.dilation / g.stride) {
        pitch = std::max(g.cols, (g.padding + g.width - 1) / g.stride + 1) + 2 * margin;
        height = std::max(g.rows, (g.padding + g.height - 1) / g.stride + 1) + 2 * margin;
        for (Int p = 0; p < g.stride; ++p)
            for (Int q = 0; q < g.stride; ++q) phases.push_back(phase(g, p, q));
    }
    Adjoint phase(const Geometry& g, Int p, Int q) const {
        const Int s = g.stride, i0 = (g.padding - p + s - 1) / s, j0 = (g.padding - q + s - 1) / s;
        Adjoint made;
        made.row = s * i0 + p - g.padding;
        made.col = s * j0 + q - g.padding;
        made.rows = std::max<Int>(0, (g.height - made.row + s - 1) / s);
        made.cols = std::max<Int>(0, (g.width - made.col + s - 1) / s);
        for (Int u = 0; u < g.kernel; ++u)
            for (Int v = 0; v < g.kernel; ++v) {
                const Int down = u * g.dilation, right = v * g.dilation;
                if (down % s == p && right % s == q)
                    made.taps.add((i0 - down / s + margin) * pitch + j0 - right / s + margin,
                                  u * g.kernel + v);
            }
        return made;
    }
    template <class T>
    Int memory() const {
        return (height + 1) * pitch + 2 * LANES<T>;
    }
};

template <class T, int B>
inline void correlate_block(const T* from, Int step, const Taps& taps, const T* weights, T* to,
                            Int to_step) {
    Vector<T> sums[B] = {};
    for (int t = 0; t < taps.count; ++t) {
        const T* tap = from + taps.offset[t];
        const T weight = weights[taps.weight[t]];
        for (int b = 0; b < B; ++b) sums[b] += weight * load(tap + b * step);
    }
    for (int b = 0; b < B; ++b) store(to + b * to_step, sums[b]);
}

// A column of vectors, `step` apart.
template <class T>
inline void correlate_column(const T* from, Int count, Int step, const Taps& taps,
                             const T* weights, T* to, Int to_step) {
    Int i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        correlate_block<T, BLOCK>(from + i * step, step, taps, weights, to + i * to_step, to_step);
    for (; i + 4 <= count; i += 4)
        correlate_block<T, 4>(from + i * step, step, taps, weights, to + i * to_step, to_step);
    for (; i + 2 <= count; i += 2)
        correlate_block<T, 2>(from + i * step, step, taps, weights, to + i * to_step, to_step);
    if (i < count)
        correlate_block<T, 1>(from + i * step, step, taps, weights, to + i * to_step, to_step);
}

// Writes rows x cols dense sums. Rows that are no whole number of vectors would be slow one by one:
// then the padded plane is one long row, and what falls between its rows is left out in the end.
template <class T>
void correlate(const T* from, Int pitch, const Taps& taps, const T* weights, Int rows,
               Int cols, T* to, T* long_row) {
    constexpr Int L = LANES<T>;
    if (cols % L == 0) {
        for (Int j = 0; j < cols; j += L)
            correlate_column(from + j, rows, pitch, taps, weights, to + j, cols);
        return;
    }
    correlate_column(from, (rows * pitch + L - 1) / L, L, taps, weights, long_row, L);
    for (Int i = 0; i < rows; ++i)
        std::memcpy(to + i * cols, long_row + i * pitch, cols * sizeof(T));
}

template <class T, int G>
inline void tap_sums_group(const T* gradient, Int pitch, const T* from, Int from_pitch,
                           const Int* offset, Int rows, Int cols, double* to) {
    Vector<T> sums[G] = {};
    for (Int i = 0; i < rows; ++i)
        for (Int j = 0; j < cols; j += LANES<T>) {
            const Vector<T> g = load(gradient + i * pitch + j);
            const T* at = from + i * from_pitch + j;
            for (int t = 0; t < G; ++t) sums[t] += g * load(at + offset[t]);
        }
    for (int t = 0; t < G; ++t) to[t] += total<T>(sums[t]);
}

// Adds sum_ij gradient[i, j] * from[i, j + tap] for every tap of a k x k kernel. An odd k has
// 1 + 8 m taps; `spread` is zero between its rows of `from_pitch`.
template <class T>
void tap_sums(const T* gradient, const T* from, Int from_pitch, const Taps& taps, Int rows,
              Int cols, T* spread, double* to) {
    constexpr Int L = LANES<T>;
    Int pitch = cols;
    if (cols % L) {
        for (Int i = 0; i < rows; ++i)
            std::memcpy(spread + i * from_pitch, gradient + i * cols, cols * sizeof(T));
        gradient = spread;
        rows = (rows * from_pitch + L - 1) / L;
        pitch = from_pitch = cols = L;
    }
    const Int* offset = taps.offset;
    if (taps.count == 1)
        return tap_sums_group<T, 1>(gradient, pitch, from, from_pitch, offset, rows, cols, to);
    tap_sums_group<T, 9>(gradient, pitch, from, from_pitch, offset, rows, cols, to);
    for (int t = 9; t < taps.count; t += 8)
        tap_sums_group<T, 8>(gradient, pitch, from, from_pitch, offset + t, rows, cols, to + t);
}

// Channel blocks for the products with the pointwise weights: 4 channels by 2 vectors at a time, so
// both extents are padded with zeros; the cache line between planes keeps them out of one cache set.
template <class T>
struct Block {
    static constexpr Int CHANNELS = 4, PIXELS = 2 * LANES<T>;
    Int channels, pixels, stride;

    explicit Block(const Geometry& g)
        : channels(round_up(g.channels, CHANNELS)),
          pixels(round_up(g.size, PIXELS)),
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
                    const Vector<T> a = load(from + c * stride + m);
                    const Vector<T> b = load(from + c * stride + m + L);
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

    // to[o, c] += sum_m a[o, m] * b[c, m], for the first `count` channels
    void outer(const T* a, const T* b, Int count, double* to) const {
        for (Int o = 0; o < count; o += 4)
            for (Int c = 0; c < count; c += 2) {
                Vector<T> sums[4][2] = {};
                for (Int m = 0; m < pixels; m += LANES<T>) {
                    const Vector<T> left = load(b + c * stride + m);
                    const Vector<T> right = load(b + (c + 1) * stride + m);
                    for (Int r = 0; r < 4; ++r) {
                        const Vector<T> row = load(a + (o + r) * stride + m);
                        sums[r][0] += row * left;
                        sums[r][1] += row * right;
                    }
                }
                for (Int r = 0; r < std::min<Int>(4, count - o); ++r)
                    for (Int q = 0; q < std::min<Int>(2, count - c); ++q)
                        to[(o + r) * count + c + q] += total<T>(sums[r][q]);
            }
    }
};

template <class T>
struct Input {
    const T *x, *mean, *rstd;

    // a = relu((x - mean) * rstd) of one plane into its phases, whose padding stays 0.
    // v < 0 rather than v > 0, so that NaN stays NaN.
    template <int S>
    void activate(const Geometry& g, const Phases& phases, Int unit, Int c, T* a) const {
        const Int channel = unit % g.groups() * g.channels + c;
        const T center = mean ? mean[channel] : T(0), scale = rstd ? rstd[channel] : T(1);
        const T* plane = x + (unit * g.channels + c) * g.pixels;
        for (Int i = 0; i < g.height; ++i)
            for (Int start = 0; start < std::min<Int>(S, g.width); ++start) {
                const T* from = plane + i * g.width + start;
                T* to = a + phases.at(i + g.padding, start + g.padding);
                const Int count = (g.width - start + S - 1) / S;
#pragma omp simd
                for (Int j = 0; j < count; ++j) {
                    const T value = (from[S * j] - center) * scale;
                    to[j] = value < 0 ? T(0) : value;
                }
            }
    }
    void activate(const Geometry& g, const Phases& phases, Int unit, Int c, T* a) const {
        g.stride == 1 ? activate<1>(g, phases, unit, c, a) : activate<2>(g, phases, unit, c, a);
    }
};

template <class T>
void forward(const Geometry& g, const Input<T>& input, const T* depthwise, const T* pointwise, T* y,
             T* mean_y, T* variance_y, int threads) {
    const Int C = g.channels;
    const Phases phases(g);
    const Block<T> block(g);
    const std::vector<T> weights = block.pack(g, pointwise, false);
    std::vector<double> moments(g.batch * g.edges * C * 2);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const Int plane = phases.template memory<T>();
        Scratch<T> scratch(2 * plane + 2 * block.memory(), 4);
        T *a = scratch.take(plane), *long_row = scratch.take(plane);
        T *d = scratch.take(block.memory()), *out = scratch.take(block.memory());
#pragma omp for schedule(static)
        for (Int unit = 0; unit < g.units(); ++unit)
            for (Int inside = 0; inside < g.edges_inside(); ++inside) {
                const Int edge = unit % g.groups() + inside;
                for (Int c = 0; c < C; ++c) {
                    input.activate(g, phases, unit, c, a);
                    correlate(a, phases.pitch, phases.taps, depthwise + (edge * C + c) * g.taps(),
                              g.rows, g.cols, d + c * block.stride, long_row);
                }
                block.product(&weights[edge * block.channels * C], C, d, out);
                for (Int c = 0; c < C; ++c) {
                    const Int channel = ((unit * g.edges_inside() + inside) * C) + c;
                    const T* from = out + c * block.stride;
                    std::memcpy(y + channel * g.size, from, g.size * sizeof(T));
                    plane_moments(from, g.size, &moments[channel * 2]);
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
             bool through, const Gradients<T>& gradients, int threads)
        : g(g), phases(g), adjoints(g), block(g), input(input), depthwise(depthwise),
          through(through), gradients(gradients), threads(threads),
          weights(block.pack(g, pointwise, true)), sums(g.units() * g.channels * 2) {}

    void run() {
        const Int C = g.channels, taps = g.taps();
        const Int per_thread = g.edges * C * (taps + C);
        std::vector<double> weight_sums(threads * per_thread);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Memory memory(*this);
            double* own = &weight_sums[omp_get_thread_num() * per_thread];
#pragma omp for schedule(static)
            for (Int unit = 0; unit < g.units(); ++unit)
                run_unit(unit, memory, own, own + g.edges * C * taps);
        }
        // In the order of the threads: the same bits for the same number of threads.
        for (Int i = 0; i < per_thread; ++i)
            for (int t = 1; t < threads; ++t) weight_sums[i] += weight_sums[t * per_thread + i];
        const Int split = g.edges * C * taps;
        if (gradients.depthwise)
            std::copy_n(weight_sums.begin(), split, gradients.depthwise);
        if (gradients.pointwise)
            std::copy_n(weight_sums.begin() + split, per_thread - split, gradients.pointwise);
        if (gradients.x && through) through_statistics();
    }

  private:
    const Geometry& g;
    const Phases phases;
    const Adjoints adjoints;
    const Block<T> block;
    const Input<T>& input;
    const T* depthwise;
    const bool through;
    const Gradients<T>& gradients;
    const int threads;
    const std::vector<T> weights;
    std::vector<double> sums;  // (units, C, 2): sum(g) and sum(g * xhat)

    struct Memory {
        Scratch<T> all;
        T *a, *spread, *long_row, *gd_padded, *phase, *ga, *gy, *gd, *d;

        explicit Memory(const Backward& b)
            : all(2 * plane(b) + 3 * padded(b) + b.g.channels * b.g.pixels + 3 * b.block.memory(),
                  9) {
            a = all.take(plane(b));
            spread = all.take(plane(b));
            long_row = all.take(padded(b));
            gd_padded = all.take(padded(b));
            phase = all.take(padded(b));
            ga = all.take(b.g.channels * b.g.pixels);
            gy = all.take(b.block.memory());
            gd = all.take(b.block.memory());
            d = all.take(b.block.memory());
        }
        static Int plane(const Backward& b) { return b.phases.template memory<T>(); }
        // The longest long row is the one of a or of gd.
        static Int padded(const Backward& b) {
            return std::max(plane(b), b.adjoints.template memory<T>());
        }
    };

    void run_unit(Int unit, Memory& m, double* depthwise_sums, double* pointwise_sums) {
        const Int C = g.channels;
        const bool need_d = gradients.pointwise, need_a = need_d || gradients.depthwise;
        for (Int inside = 0; inside < g.edges_inside(); ++inside) {
            const Int edge = unit % g.groups() + inside;
            const T* gy = gradients.y + (unit * g.edges_inside() + inside) * C * g.size;
            for (Int c = 0; c < C; ++c)
                std::memcpy(m.gy + c * block.stride, gy + c * g.size, g.size * sizeof(T));
            if (gradients.x || gradients.depthwise)
                block.product(&weights[edge * block.channels * C], C, m.gy, m.gd);
            for (Int c = 0; c < C; ++c) {
                const T* kernel = depthwise + (edge * C + c) * g.taps();
                const T* gd = m.gd + c * block.stride;
                if (need_a) input.activate(g, phases, unit, c, m.a);
                if (need_d)
                    correlate(m.a, phases.pitch, phases.taps, kernel, g.rows, g.cols,
                              m.d + c * block.stride, m.long_row);
                if (gradients.depthwise)
                    tap_sums(gd, m.a, phases.pitch, phases.taps, g.rows, g.cols, m.spread,
                             depthwise_sums + (edge * C + c) * g.taps());
                if (gradients.x) to_input(gd, kernel, m, m.ga + c * g.pixels, inside > 0);
            }
            if (need_d) block.outer(m.gy, m.d, C, pointwise_sums + edge * C * C);
        }
        if (gradients.x)
            for (Int c = 0; c < C; ++c) to_normalized(unit, c, m.ga + c * g.pixels);
    }

    // Sets or adds the gradient with respect to one plane of a.
    void to_input(const T* gd, const T* kernel, Memory& m, T* ga, bool add) const {
        T* corner = m.gd_padded + adjoints.margin * adjoints.pitch + adjoints.margin;
        for (Int i = 0; i < g.rows; ++i)
            std::memcpy(corner + i * adjoints.pitch, gd + i * g.cols, g.cols * sizeof(T));
        for (const Adjoint& at : adjoints.phases) {
            const bool whole = g.stride == 1 && !add;
            T* out = whole ? ga : m.phase;
            correlate(m.gd_padded, adjoints.pitch, at.taps, kernel, at.rows, at.cols, out,
                      m.long_row);
            if (whole) continue;
            for (Int i = 0; i < at.rows; ++i) {
                T* to = ga + (at.row + g.stride * i) * g.width + at.col;
                const T* from = out + i * at.cols;
                for (Int j = 0; j < at.cols; ++j)
                    to[g.stride * j] = add ? to[g.stride * j] + from[j] : from[j];
            }
        }
    }

    // gx of one plane; where it also goes through the statistics, the gradient with respect to xhat.
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
            const T gradient = normalized <= 0 ? T(0) : ga[i];
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
    extern "C" void separable_forward_##T(const Int* shape, const T* x, const T* mean,          \
                                          const T* rstd, const T* depthwise, const T* pointwise,  \
                                          T* y, T* mean_y, T* variance_y, int threads) {          \
        forward<T>(Geometry(shape), {x, mean, rstd}, depthwise, pointwise, y, mean_y, variance_y, \
                   threads);                                                                      \
    }                                                                                             \
    extern "C" void separable_backward_##T(                                                       \
        const Int* shape, const T* x, const T* mean, const T* rstd, const T* depthwise,         \
        const T* pointwise, int through, const T* gy, T* gx, T* g_depthwise, T* g_pointwise,      \
        int threads) {                                                                            \
        const Geometry geometry(shape);                                                           \
        const Input<T> input{x, mean, rstd};                                                      \
        const Gradients<T> gradients{gy, gx, g_depthwise, g_pointwise};                           \
        Backward<T>(geometry, input, depthwise, pointwise, through, gradients, threads).run();    \
    }

SEPARABLE(float)
SEPARABLE(double)
