// A tensor at a mixture of nested quantizations, and its gradients, each in one pass.
#include "ladder.h"

using T = NUMBER;

constexpr Int RUN = 4096;  // numbers that one thread does at a time

extern "C" {

void ladder_forward(Int count, Int rungs, const T* x, const T* clip, const T* gates,
                    const double* numbers, T* y, Int threads) {
    const Ladder<T> ladder(rungs, clip, gates, numbers);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int start = 0; start < count; start += RUN)
        ladder.value(std::min(RUN, count - start), x + start, y + start);
}
void ladder_backward(Int count, Int rungs, const T* x, const T* clip, const T* gates,
                     const double* numbers, const T* g, T* gx, T* g_clip, T* g_gates,
                     Int threads) {
    const Ladder<T> ladder(rungs, clip, gates, numbers);
    const Int runs = (count + RUN - 1) / RUN;
    std::vector<double> sums(runs * ladder.sums());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Int run = 0; run < runs; ++run) {
        const Int start = run * RUN;
        ladder.gradient(std::min(RUN, count - start), x + start, g + start, gx + start,
                        &sums[run * ladder.sums()]);
    }
    ladder.finish(count, runs, sums.data(), g_clip, g_gates);
}

}  // extern "C"
