// What a separable convolution is called with.
#pragma once

#include "common.h"

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
