// The loops that all depthwise convolutions share, compiled once for all of them.
#include "correlation.h"
#include "interleaved.h"

template void correlate(const NUMBER*, const Correlation&, const NUMBER*, const Wide<NUMBER>&,
                        NUMBER*);
template void sum_taps(const NUMBER*, const NUMBER*, const Correlation&, const Wide<NUMBER>&,
                       Vector<NUMBER>*);
template RowFunctions<NUMBER>::RowFunctions(const Geometry& g);
