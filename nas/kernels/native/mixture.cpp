// out[e] = sum_t weights[e, t] * (z[t][e] - mean) * rstd: every operation of every edge of a node,
// normalized, weighted and summed in one pass over memory.
#include "common.h"

namespace {

// A term as Python passes it; what is absent is null.
template <class T>
struct Term {
    const T* z;
    T* gradient;              // of z
    Int channels;           // of z, over all edges
    Int through;            // mean and rstd are those of z
    const Int* first;       // (edges): first channel of z, or -1 where the edge lacks this term
    const T* const* mean;     // (edges): C values each, or null
    const T* const* rstd;

    bool has(Int edge) const { return first[edge] >= 0; }
    Int plane(Int n, Int edge, Int c) const { return n * channels + first[edge] + c; }
    T center(Int edge, Int c) const { return mean[edge] ? mean[edge][c] : T(0); }
    T scale(Int edge, Int c) const { return rstd[edge] ? rstd[edge][c] : T(1); }
};

struct Extent {
    Int batch, channels, size, edges, terms;
};

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
void forward(const Extent& x, const Term<T>* terms, const T* weights, T* const* out, int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (Int n = 0; n < x.batch; ++n)
        for (Int c = 0; c < x.channels; ++c)
            for (Int e = 0; e < x.edges; ++e) {
                T* to = out[e] + (n * x.channels + c) * x.size;
                bool first = true;
                for (Int t = 0; t < x.terms; ++t) {
                    const Term<T>& term = terms[t];
                    if (!term.has(e)) continue;
                    add_plane(to, term.z + term.plane(n, e, c) * x.size, x.size, term.center(e, c),
                              weights[e * x.terms + t] * term.scale(e, c), first);
                    first = false;
                }
                if (first) std::fill_n(to, x.size, T(0));
            }
}

// sums (terms, edges, C) of g * (z - mean) and, in the row behind the last term, of g.
// Centered before it is summed: the sum of g * z less its mean would cancel.
template <class T>
std::vector<double> reduce(const Extent& x, const Term<T>* terms, const bool* wanted,
                           const T* const* gradients, int threads) {
    const Int per_thread = (x.terms + 1) * x.edges * x.channels;
    std::vector<double> sums(threads * per_thread);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        double* own = &sums[omp_get_thread_num() * per_thread];
#pragma omp for collapse(2) schedule(static)
        for (Int n = 0; n < x.batch; ++n)
            for (Int c = 0; c < x.channels; ++c)
                for (Int e = 0; e < x.edges; ++e) {
                    if (!gradients[e]) continue;
                    const T* g = gradients[e] + (n * x.channels + c) * x.size;
                    T sum = 0;
#pragma omp simd reduction(+ : sum)
                    for (Int i = 0; i < x.size; ++i) sum += g[i];
                    own[(x.terms * x.edges + e) * x.channels + c] += sum;
                    for (Int t = 0; t < x.terms; ++t) {
                        if (!wanted[t] || !terms[t].has(e)) continue;
                        const T* z = terms[t].z + terms[t].plane(n, e, c) * x.size;
                        const T center = terms[t].center(e, c);
                        T product = 0;
#pragma omp simd reduction(+ : product)
                        for (Int i = 0; i < x.size; ++i) product += g[i] * (z[i] - center);
                        own[(t * x.edges + e) * x.channels + c] += product;
                    }
                }
    }
    for (Int i = 0; i < per_thread; ++i)
        for (int t = 1; t < threads; ++t) sums[i] += sums[t * per_thread + i];
    return sums;
}

// The gradient of one plane of z, which the edges [begin, end) read.
template <class T>
void plane_gradient(const Extent& x, const Term<T>* terms, Int t, const T* weights,
                    const T* const* gradients, const std::vector<double>& sums, Int n, Int c,
                    Int begin, Int end) {
    const Term<T>& term = terms[t];
    const double count = static_cast<double>(x.batch * x.size);
    T* to = nullptr;
    bool first = true;
    double shift = 0, slope = 0;
    Int known = -1;
    for (Int e = begin; e < end; ++e) {
        if (!term.has(e)) continue;
        known = e;
        to = term.gradient + term.plane(n, e, c) * x.size;
        if (!gradients[e]) continue;
        const double scale = term.scale(e, c), factor = weights[e * x.terms + t] * scale;
        const double* sum = &sums[(t * x.edges + e) * x.channels + c];
        shift += factor * sums[(x.terms * x.edges + e) * x.channels + c] / count;
        slope += factor * scale * scale * *sum / count;
        add_plane(to, gradients[e] + (n * x.channels + c) * x.size, x.size, T(0), T(factor), first);
        first = false;
    }
    if (known < 0) return;
    if (first) {
        std::fill_n(to, x.size, T(0));
    } else if (term.through) {
        const T* z = term.z + term.plane(n, known, c) * x.size;
        const T center = term.center(known, c), a = T(shift), b = T(slope);
#pragma omp simd
        for (Int i = 0; i < x.size; ++i) to[i] -= a + (z[i] - center) * b;
    }
}

template <class T>
void backward(const Extent& x, const Term<T>* terms, const T* weights, const T* const* gradients,
              T* weight_gradients, int threads) {
    std::unique_ptr<bool[]> wanted(new bool[x.terms]);
    bool any = false;
    for (Int t = 0; t < x.terms; ++t) {
        wanted[t] = weight_gradients || (terms[t].gradient && terms[t].through);
        any = any || wanted[t];
    }
    const std::vector<double> sums =
        any ? reduce(x, terms, wanted.get(), gradients, threads)
            : std::vector<double>((x.terms + 1) * x.edges * x.channels);
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
        for (Int c = 0; c < x.channels; ++c)
            for (Int t = 0; t < x.terms; ++t) {
                if (!terms[t].gradient) continue;
                if (terms[t].channels == x.channels) {  // one plane for all edges, or one edge only
                    plane_gradient(x, terms, t, weights, gradients, sums, n, c, 0, x.edges);
                    continue;
                }
                for (Int e = 0; e < x.edges; ++e)
                    plane_gradient(x, terms, t, weights, gradients, sums, n, c, e, e + 1);
            }
}

}  // namespace

#define MIXTURE(T)                                                                             \
    extern "C" void mixture_forward_##T(const Int* extent, const void* terms,                \
                                        const T* weights, T* const* out, int threads) {        \
        Extent x;                                                                              \
        std::memcpy(&x, extent, sizeof x);                                                     \
        forward<T>(x, static_cast<const Term<T>*>(terms), weights, out, threads);              \
    }                                                                                          \
    extern "C" void mixture_backward_##T(const Int* extent, const void* terms,               \
                                         const T* weights, const T* const* gradients,          \
                                         T* weight_gradients, int threads) {                   \
        Extent x;                                                                              \
        std::memcpy(&x, extent, sizeof x);                                                     \
        backward<T>(x, static_cast<const Term<T>*>(terms), weights, gradients,                 \
                    weight_gradients, threads);                                                \
    }

MIXTURE(float)
MIXTURE(double)
