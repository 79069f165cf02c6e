// The gradient of a plane that a depthwise convolution reads, from that of the plane it makes.
#pragma once

#include "correlation.h"

template <class T>
class PlaneAdjoint {
  public:
    explicit PlaneAdjoint(const Geometry& g) : g_(g), adjoints_(g), wide_(g.rows, g.cols) {
        for (const Adjoint& at : adjoints_.phases)
            most_ = std::max(most_, round_up(Wide<T>(at.rows, at.cols).size, LANES<T>));
    }

    // Numbers of zeroed scratch that `run` needs; it leaves the padding in them at 0.
    Int memory() const { return padded() + 2 * most_; }

    // Sets or adds the gradient (height, width) for that of the output, a wide plane.
    void run(const T* gy, const T* kernel, T* scratch, T* gx, bool add) const {
        T *even = scratch + padded(), *odd = even + most_;
        T* corner = scratch + adjoints_.margin * adjoints_.pitch + adjoints_.margin;
        for (Int i = 0; i < g_.rows; ++i)
            copy_row(corner + i * adjoints_.pitch, gy + i * wide_.cols, g_.cols);
        if (g_.stride == 1) {
            const Wide<T> part(g_.height, g_.width);
            const bool direct = !add && part.size == g_.pixels;
            correlate(scratch, adjoints_.phases[0].taps, kernel, part, direct ? gx : even);
            for (Int i = 0; i < g_.height && !direct; ++i)
                put(even + i * part.cols, g_.width, gx + i * g_.width, add);
            return;
        }
        for (int p = 0; p < 4; p += 2) {  // rows of one parity
            const bool swap = adjoints_.phases[p].col == 1;
            const Adjoint &left = adjoints_.phases[p + swap], &right = adjoints_.phases[p + !swap];
            const Wide<T> of_left(left.rows, left.cols), of_right(right.rows, right.cols);
            correlate(scratch, left.taps, kernel, of_left, even);
            correlate(scratch, right.taps, kernel, of_right, odd);
            for (Int i = 0; i < left.rows; ++i)
                put_two(even + i * of_left.cols, odd + i * of_right.cols, g_.width,
                        gx + (left.row + 2 * i) * g_.width, add);
        }
    }

  private:
    const Geometry& g_;
    const Adjoints adjoints_;
    const Wide<T> wide_;
    Int most_ = 0;

    Int padded() const { return round_up(adjoints_.template memory<T>(), LANES<T>); }

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
};
