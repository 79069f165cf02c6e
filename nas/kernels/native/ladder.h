// A mixture of nested quantizations of a run of numbers, and its gradients.
#pragma once

#include <cmath>

#include "common.h"

constexpr int MOST_RUNGS = 4;

// To the nearest whole number, ties to even: what is added leaves no room for a fraction. Levels
// are at most 2^16 steps away from zero.
template <class V>
inline V rounded(V value, float) {
    return (value + 0x1.8p23f) - 0x1.8p23f;
}
template <class V>
inline V rounded(V value, double) {
    return (value + 0x1.8p52) - 0x1.8p52;
}

// clip * (g_0 offset + sum_j g_j rung_j(x / clip)).
template <class T>
class Ladder {
  public:
    // numbers: low, high, offset, what tempers the gradient of clip, and the steps.
    Ladder(Int rungs, const T* clip, const T* gates, const double* numbers)
        : rungs_(rungs), clip_(*clip), low_(numbers[0]), high_(numbers[1]), offset_(numbers[2]),
          tempered_(numbers[3]) {
        for (Int j = 0; j < rungs; ++j) {
            steps_[j] = numbers[4 + j];
            per_step_[j] = 1 / numbers[4 + j];  // once: a division takes as long as all the rest
            gates_[j] = gates[j];
        }
    }

    Int sums() const { return rungs_ + 1; }

    void value(Int count, const T* x, T* y) const {
        switch (rungs_) {
            case 1: return values<1>(count, x, y);
            case 2: return values<2>(count, x, y);
            case 3: return values<3>(count, x, y);
            case 4: return values<4>(count, x, y);
        }
    }
    // sums: of gradient times rung for every rung, then of gradient times number inside the range.
    void gradient(Int count, const T* x, const T* g, T* gx, double* sums) const {
        switch (rungs_) {
            case 1: return gradients<1>(count, x, g, gx, sums);
            case 2: return gradients<2>(count, x, g, gx, sums);
            case 3: return gradients<3>(count, x, g, gx, sums);
            case 4: return gradients<4>(count, x, g, gx, sums);
        }
    }
    // Gradients of clip and gates from the sums of `parts` runs, `count` numbers in all.
    void finish(Int count, Int parts, const double* sums, T* clip, T* gates) const {
        double all[MOST_RUNGS + 1] = {}, slope = 0;
        for (Int part = 0; part < parts; ++part)
            for (Int j = 0; j <= rungs_; ++j) all[j] += sums[part * (rungs_ + 1) + j];
        for (Int j = 0; j < rungs_; ++j) {
            slope += gates_[j] * all[j];
            gates[j] = static_cast<T>(clip_ * all[j]);
        }
        *clip = static_cast<T>((slope - all[rungs_]) / std::sqrt(count * tempered_));
    }

  private:
    Int rungs_;
    T clip_, low_, high_, offset_;
    double tempered_;
    T steps_[MOST_RUNGS], per_step_[MOST_RUNGS], gates_[MOST_RUNGS];

    // NaN stays NaN.
    template <class V>
    V inside(V u) const {
        const V low = V{} + low_, high = V{} + high_;
        const V raised = u < low ? low : u;
        return raised > high ? high : raised;
    }

    template <int R>
    void values(Int count, const T* x, T* y) const {
        Int i = 0;
        for (; i + LANES<T> <= count; i += LANES<T>) store(y + i, one<R>(load(x + i)));
        for (; i < count; ++i) y[i] = one<R>(x[i]);
    }
    template <int R, class V>
    V one(V x) const {
        V left = inside<V>(x / clip_) - offset_, sum = V{} + gates_[0] * offset_;
#pragma GCC unroll 4
        for (int j = 0; j < R; ++j) {
            const V rung = rounded<V>(left * per_step_[j], T(0)) * steps_[j];
            sum += gates_[j] * rung;
            left -= rung;
        }
        return clip_ * sum;
    }

    template <int R>
    void gradients(Int count, const T* x, const T* g, T* gx, double* to) const {
        Vector<T> sums[R + 1] = {};
        T rest[R + 1] = {};
        Int i = 0;
        for (; i + LANES<T> <= count; i += LANES<T>)
            store(gx + i, passed<R>(load(x + i), load(g + i), sums));
        for (; i < count; ++i) gx[i] = passed<R>(x[i], g[i], rest);
        for (int j = 0; j <= R; ++j) to[j] += static_cast<double>(total<T>(sums[j])) + rest[j];
    }
    template <int R, class V>
    V passed(V x, V g, V* sums) const {
        const V u = x / clip_;
        V left = inside<V>(u) - offset_;
#pragma GCC unroll 4
        for (int j = 0; j < R; ++j) {
            const V rung = rounded<V>(left * per_step_[j], T(0)) * steps_[j];
            sums[j] += g * (j ? rung : rung + offset_);
            left -= rung;
        }
        const V low = V{} + low_, high = V{} + high_;
        V through = u > low ? g * gates_[0] : V{};
        through = u < high ? through : V{};
        sums[R] += through * u;
        return through;
    }
};
