// out[e] = sum_t weights[e, t] * (z[t][e] - mean) * rstd: every operation of every edge of a node,
// normalized, weighted and summed in one pass over memory.
#include "common.h"

namespace {

constexpr Int BLOCK = 4096;  // values: long enough to be a stream, small enough for the first cache

// The fields as Python passes them, and the work cut into blocks of planes that lie next to each
// other in every tensor.
struct Extent {
    Int batch, channels, size, edges, terms;

    explicit Extent(const Int* fields) { std::memcpy(this, fields, 5 * sizeof(Int)); }
    Int block() const { return std::max<Int>(1, BLOCK / size); }
    Int blocks() const { return (channels + block() - 1) / block(); }
    Int begin(Int b) const { return b * block(); }
    Int end(Int b) const { return std::min(channels, begin(b) + block()); }
};

// A term. What is absent is null.
template <class T>
struct Term {
    const T* z;
    T* gradient;  // of z
    Int channels, through;
    const Int *first, *mean, *rstd;  // by edge: first channel of z or -1, addresses of C moments

    bool has(Int edge) const { return first[edge] >= 0; }
    Int plane(Int n, Int edge, Int c) const { return n * channels + first[edge] + c; }
    T center(Int edge, Int c) const { return mean[edge] ? at(mean[edge])[c] : T(0); }
    T scale(Int edge, Int c) const { return rstd[edge] ? at(rstd[edge])[c] : T(1); }
    static T* at(Int address) { return reinterpret_cast<T*>(address); }
};

// From the table that Python makes: of each term z, its gradient, channels, through, and then
// three numbers per edge.
template <class T>
std::vector<Term<T>> read_terms(const Extent& x, const Int* entry) {
    std::vector<Term<T>> terms;
    for (Int t = 0; t < x.terms; ++t, entry += 4 + 3 * x.edges)
        terms.push_back({Term<T>::at(entry[0]), Term<T>::at(entry[1]), entry[2], entry[3],
                         entry + 4, entry + 4 + x.edges, entry + 4 + 2 * x.edges});
    return terms;
}

template <class T>
void add_plane(T* to, const T* from, Int size, T center, T factor, bool first) {
    if (first) {
#pragma omp simd
        for (Int i = 0; i < size; ++i) to[i] = (from[i] - center) * factor;
    } else {
#pragma omp simd
        for (Int i = 0; i < size; ++i) to[i] += (from[i] - center) * factor;
    }
}

template <class T>
void forward(const Extent& x, const std::vector<Term<T>>& terms, const T* weights, T* const* out,
             Int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (Int n = 0; n < x.batch; ++n)
        for (Int b = 0; b < x.blocks(); ++b)
            for (Int e = 0; e < x.edges; ++e) {
                T* to = out[e] + n * x.channels * x.size;
                bool first = true;
                for (Int t = 0; t < x.terms; ++t) {
                    const Term<T>& term = terms[t];
                    if (!term.has(e)) continue;
                    for (Int c = x.begin(b); c < x.end(b); ++c)
                        add_plane(to + c * x.size, term.z + term.plane(n, e, c) * x.size, x.size,
                                  term.center(e, c), weights[e * x.terms + t] * term.scale(e, c),
                                  first);
                    first = false;
                }
                if (first) std::fill(to + x.begin(b) * x.size, to + x.end(b) * x.size, T(0));
            }
}

template <class T>
T plane_sum(const Extent& x, const T* g, Int c) {
    g += c * x.size;
    return sum_over<T>(x.size, [&](auto zero, Int i) { return read<decltype(zero)>(g + i); });
}

template <class T>
T plane_product(const Extent& x, const T* g, Int c, const T* z, T center) {
    g += c * x.size;
    return sum_over<T>(x.size, [&](auto zero, Int i) {
        using V = decltype(zero);
        return read<V>(g + i) * (read<V>(z + i) - center);
    });
}

// sums (terms, edges, C) of g * (z - mean) and, in the row behind the last term, of g.
// Centered before it is summed: the sum of g * z less its mean would cancel.
template <class T>
std::vector<double> reduce(const Extent& x, const std::vector<Term<T>>& terms,
                           const std::vector<char>& wanted, const T* const* gradients,
                           Int threads) {
    const Int per_thread = (x.terms + 1) * x.edges * x.channels;
    std::vector<double> sums(threads * per_thread);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        double* own = &sums[omp_get_thread_num() * per_thread];
#pragma omp for collapse(2) schedule(static)
        for (Int n = 0; n < x.batch; ++n)
            for (Int b = 0; b < x.blocks(); ++b)
                for (Int e = 0; e < x.edges; ++e) {
                    if (!gradients[e]) continue;
                    const T* g = gradients[e] + n * x.channels * x.size;
                    for (Int c = x.begin(b); c < x.end(b); ++c)
                        own[(x.terms * x.edges + e) * x.channels + c] += plane_sum(x, g, c);
                    for (Int t = 0; t < x.terms; ++t) {
                        if (!wanted[t] || !terms[t].has(e)) continue;
                        for (Int c = x.begin(b); c < x.end(b); ++c)
                            own[(t * x.edges + e) * x.channels + c] += plane_product(
                                x, g, c, terms[t].z + terms[t].plane(n, e, c) * x.size,
                                terms[t].center(e, c));
                    }
                }
    }
    for (Int i = 0; i < per_thread; ++i)
        for (Int t = 1; t < threads; ++t) sums[i] += sums[t * per_thread + i];
    return sums;
}

// to = g * factor - (shift + (z - center) * slope)
template <class T>
void through_plane(T* to, const T* g, const T* z, Int size, T factor, T shift, T center, T slope) {
#pragma omp simd
    for (Int i = 0; i < size; ++i) to[i] = g[i] * factor - (shift + (z[i] - center) * slope);
}

// The gradient of one plane of z, which the edges [begin, end) read:
// sum_e weight * rstd * (g - mean(g) - zhat * mean(g * zhat)), the means if it goes through them.
template <class T>
void plane_gradient(const Extent& x, const std::vector<Term<T>>& terms, Int t, const T* weights,
                    const T* const* gradients, const std::vector<double>& sums, Int n, Int c,
                    Int begin, Int end) {
    const Term<T>& term = terms[t];
    const double count = static_cast<double>(x.batch * x.size);
    const auto factor = [&](Int e) { return weights[e * x.terms + t] * term.scale(e, c); };
    double shift = 0, slope = 0;
    Int one = -1;  // an edge that reads z: all of them have the same moments if through
    for (Int e = begin; e < end; ++e) {
        if (!term.has(e)) continue;
        one = e;
        if (!gradients[e] || !term.through) continue;
        const double scale = term.scale(e, c);
        shift += factor(e) / count * sums[(x.terms * x.edges + e) * x.channels + c];
        slope += factor(e) / count * scale * scale * sums[(t * x.edges + e) * x.channels + c];
    }
    if (one < 0) return;
    T* to = term.gradient + term.plane(n, one, c) * x.size;
    bool first = true;
    for (Int e = begin; e < end; ++e) {
        if (!term.has(e) || !gradients[e]) continue;
        const T* g = gradients[e] + (n * x.channels + c) * x.size;
        if (first && term.through)
            through_plane(to, g, term.z + term.plane(n, one, c) * x.size, x.size, factor(e),
                          T(shift), term.center(one, c), T(slope));
        else
            add_plane(to, g, x.size, T(0), factor(e), first);
        first = false;
    }
    if (first) std::fill_n(to, x.size, T(0));
}

template <class T>
void backward(const Extent& x, const std::vector<Term<T>>& terms, const T* weights,
              const T* const* gradients, T* weight_gradients, Int threads) {
    std::vector<char> wanted;
    for (const Term<T>& term : terms)
        wanted.push_back(weight_gradients || (term.gradient && term.through));
    std::vector<double> sums;
    if (std::count(wanted.begin(), wanted.end(), 1))
        sums = reduce(x, terms, wanted, gradients, threads);
    if (weight_gradients)
        for (Int e = 0; e < x.edges; ++e)
            for (Int t = 0; t < x.terms; ++t) {
                double sum = 0;
                if (terms[t].has(e))
                    for (Int c = 0; c < x.channels; ++c)
                        sum += terms[t].scale(e, c) * sums[(t * x.edges + e) * x.channels + c];
                weight_gradients[e * x.terms + t] = static_cast<T>(sum);
            }
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (Int n = 0; n < x.batch; ++n)
        for (Int b = 0; b < x.blocks(); ++b)
            for (Int t = 0; t < x.terms; ++t) {
                if (!terms[t].gradient) continue;
                // One plane for all edges, or one edge only: both are one range of edges.
                const Int step = terms[t].channels == x.channels ? x.edges : 1;
                for (Int e = 0; e < x.edges; e += step)
                    for (Int c = x.begin(b); c < x.end(b); ++c)
                        plane_gradient(x, terms, t, weights, gradients, sums, n, c, e, e + step);
            }
}

}  // namespace

using T = NUMBER;  // what the library is compiled for

extern "C" {

void mixture_forward(const Int* extent, const Int* table, const T* weights, T* const* out,
                     Int threads) {
    const Extent x(extent);
    forward<T>(x, read_terms<T>(x, table), weights, out, threads);
}
void mixture_backward(const Int* extent, const Int* table, const T* weights,
                      const T* const* gradients, T* weight_gradients, Int threads) {
    const Extent x(extent);
    backward<T>(x, read_terms<T>(x, table), weights, gradients, weight_gradients, threads);
}

}  // extern "C"
