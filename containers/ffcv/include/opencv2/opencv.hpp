// The part of OpenCV that FFCV's C++ uses: a view of 8-bit RGB pixels, and an area resize.
//
// FFCV calls it only where its own decoders crop while loading; it writes images through Python's cv2.
// Standing in for the headers of OpenCV, it makes libjpeg-turbo the only library that FFCV is built from.
#pragma once

#include <algorithm>
#include <cstdint>

#define CV_8UC3 16

namespace cv {

constexpr int INTER_AREA = 3;

struct Size {
    int width, height;
};

// A view of rows x cols pixels of three bytes; `stride` is the bytes from one row to the next. Owns nothing.
class Mat {
public:
    Mat(int rows, int cols, int /* type */, void* data)
        : rows(rows), cols(cols), stride(3 * static_cast<int64_t>(cols)), data(static_cast<uint8_t*>(data)) {}

    Mat rowRange(int start, int end) const {
        Mat view(*this);
        view.rows = end - start;
        view.data += start * stride;
        return view;
    }

    Mat colRange(int start, int end) const {
        Mat view(*this);
        view.cols = end - start;
        view.data += 3 * start;
        return view;
    }

    Size size() const { return {cols, rows}; }

    int rows, cols;
    int64_t stride;
    uint8_t* data;
};

// How much of source pixel `i` lies in the interval [start, end), in pixels.
inline double overlap(int i, double start, double end) {
    return std::min<double>(i + 1, end) - std::max<double>(i, start);
}

// The mean of the source area under each target pixel: cv::resize with INTER_AREA, where the image shrinks.
// Where it grows OpenCV interpolates, and this does not. Equal sizes copy exactly.
inline void resize(const Mat& source, const Mat& target, Size size, double, double, int) {
    const double height = static_cast<double>(source.rows) / size.height;  // of a target pixel, in source pixels
    const double width = static_cast<double>(source.cols) / size.width;
    for (int y = 0; y < size.height; ++y) {
        const double top = y * height, bottom = std::min<double>(source.rows, top + height);
        for (int x = 0; x < size.width; ++x) {
            const double left = x * width, right = std::min<double>(source.cols, left + width);
            double sum[3] = {0, 0, 0};
            for (int i = static_cast<int>(top); i < bottom; ++i) {
                for (int j = static_cast<int>(left); j < right; ++j) {
                    const uint8_t* pixel = source.data + i * source.stride + 3 * j;
                    const double weight = overlap(i, top, bottom) * overlap(j, left, right);
                    for (int channel = 0; channel < 3; ++channel) sum[channel] += weight * pixel[channel];
                }
            }
            uint8_t* pixel = target.data + y * target.stride + 3 * x;
            for (int channel = 0; channel < 3; ++channel) {
                pixel[channel] = static_cast<uint8_t>(sum[channel] / (height * width) + 0.5);
            }
        }
    }
}

}  // namespace cv
