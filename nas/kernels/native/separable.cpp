// y = pointwise(depthwise(relu((x - mean) * rstd))) for several edges at once, and its gradients.
#include "separable_small.h"
#include "separable_wide.h"

using T = NUMBER;  // what the library is compiled for

extern "C" {

void separable_forward(const Int* shape, const T* x, const T* mean, const T* rstd,
                       const T* depthwise, const T* pointwise, T* y, T* mean_y, T* variance_y,
                       Int threads) {
    const Geometry g(shape);
    const Operands<T> in{x, mean, rstd, depthwise, pointwise};
    const Results<T> to{y, mean_y, variance_y};
    const RowFunctions<T> rows(g);
    if (rows.serves())
        small::forward<T>(g, rows, in, to, threads);
    else
        wide::forward<T>(g, in, to, threads);
}
void separable_backward(const Int* shape, const T* x, const T* mean, const T* rstd,
                        const T* depthwise, const T* pointwise, Int through, const T* gy, T* gx,
                        T* g_depthwise, T* g_pointwise, Int threads) {
    const Geometry g(shape);
    const Operands<T> in{x, mean, rstd, depthwise, pointwise};
    const Gradients<T> gradients{gy, gx, g_depthwise, g_pointwise};
    const RowFunctions<T> rows(g);
    if (rows.serves())
        small::Backward<T>(g, rows, in, through, gradients, threads).run();
    else
        wide::Backward<T>(g, in, through, gradients, threads).run();
}

}  // extern "C"
