// Pointwise convolutions of quantized images: products with the planes of all channels.
#pragma once

#include "product.h"
#include "quantized_depthwise.h"

// One image at a time.
template <class T>
class QuantizedPointwise {
  public:
    QuantizedPointwise(const Geometry& g, const Planes<T>& in, Int outputs)
        : g_(g), in_(in), to_y_(outputs, g.size), to_x_(g.channels, g.size),
          weights_(to_y_.pack(1, g.channels, in.weights, false)),
          transposed_(to_x_.pack(1, outputs, in.weights, true)) {}

    Int units() const { return g_.batch; }
    Int weight_sums() const { return to_y_.channels * to_x_.channels; }
    Int place(Int weight) const {
        return weight / g_.channels * to_x_.channels + weight % g_.channels;
    }

    struct Memory : Slices<T, 4> {
        explicit Memory(const QuantizedPointwise& of)
            : Slices<T, 4>({of.g_.size, of.to_x_.memory(), of.to_x_.memory(),
                            of.to_y_.memory()}) {}
    };

    void forward(Int image, Memory& memory, T* y) const {
        auto& [picked, q, rest, out] = memory.part;
        for (Int c = 0; c < g_.channels; ++c) quantize(image, c, picked, q);
        to_y_.product(weights_.data(), g_.channels, q, out);
        for (Int o = 0; o < to_y_.outputs; ++o)
            std::copy_n(out + o * to_y_.stride, g_.size, y + (image * to_y_.outputs + o) * g_.size);
    }
    void backward(Int image, Memory& memory, const T* gy, T* gx, Vector<T>* weights,
                  double* sums) const {
        auto& [picked, q, gq, g] = memory.part;
        for (Int o = 0; o < to_y_.outputs; ++o)
            std::copy_n(gy + (image * to_y_.outputs + o) * g_.size, g_.size, g + o * to_y_.stride);
        to_x_.product(transposed_.data(), to_y_.outputs, g, gq);
        for (Int c = 0; c < g_.channels; ++c) {
            T* gradient = gq + c * to_x_.stride;
            const T* x = quantize(image, c, picked, q);
            T* to = gx + (image * g_.channels + c) * g_.pixels;
            in_.ladder.gradient(g_.size, x, gradient, g_.stride == 1 ? to : gradient, sums);
            if (g_.stride == 2) spread(gradient, to);
        }
        to_y_.outer(g, q, to_x_.channels, weights);
    }

  private:
    const Geometry& g_;
    const Planes<T>& in_;
    const Block<T> to_y_, to_x_;
    const std::vector<T> weights_, transposed_;

    // A plane of q; returns the numbers that were quantized.
    const T* quantize(Int image, Int c, T* picked, T* q) const {
        const T* plane = in_.x + (image * g_.channels + c) * g_.pixels;
        if (g_.stride == 2) {
            for (Int i = 0; i < g_.rows; ++i)
                for (Int j = 0; j < g_.cols; ++j)
                    picked[i * g_.cols + j] = plane[2 * i * g_.width + 2 * j];
            plane = picked;
        }
        in_.ladder.value(g_.size, plane, q + c * to_x_.stride);
        return plane;
    }
    // Gradients of every second pixel of every second row, zeros between them.
    void spread(const T* from, T* to) const {
        std::fill_n(to, g_.pixels, T(0));
        for (Int i = 0; i < g_.rows; ++i)
            for (Int j = 0; j < g_.cols; ++j)
                to[2 * i * g_.width + 2 * j] = from[i * g_.cols + j];
    }
};
