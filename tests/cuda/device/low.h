// f16 and bf16 as CUDA's headers have them, as far as burn's kernels call them: each operation computes
// in f32 and rounds once, which for these widths gives what rounding the exact result gives.
#pragma once
#include "grid.h"

// To the nearest, ties to even.
struct F16 {
    static float wide(uint16_t bits) { _Float16 x; memcpy(&x, &bits, 2); return x; }
    static uint16_t narrow(float value) { _Float16 x = value; uint16_t bits; memcpy(&bits, &x, 2); return bits; }
};
struct Bf16 {
    static float wide(uint16_t bits) { uint32_t all = (uint32_t)bits << 16; float x; memcpy(&x, &all, 4); return x; }
    static uint16_t narrow(float value) {
        uint32_t all;
        memcpy(&all, &value, 4);
        if (value != value) return all >> 16 | 0x40;
        return (all + 0x7fff + (all >> 16 & 1)) >> 16;
    }
};

template <class Kind> struct Low {
    uint16_t bits;
    Low() = default;
    template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>> Low(T value) : bits(Kind::narrow(value)) {}
    template <class Other> explicit Low(Low<Other> other) : bits(Kind::narrow(float(other))) {}
    operator float() const { return Kind::wide(bits); }
    Low operator-() const { return Low(-float(*this)); }
    Low& operator+=(Low other) { return *this = *this + other; }
    Low& operator*=(Low other) { return *this = *this * other; }
};
template <class Kind> struct alignas(4) Low2 {
    Low<Kind> x, y;
    Low2() = default;
    Low2(Low<Kind> x, Low<Kind> y) : x(x), y(y) {}
    Low2(Low<Kind> both) : x(both), y(both) {}
    Low2 operator-() const { return Low2(-x, -y); }
};
#define LOW_OPERATOR(op)                                                                                       \
    template <class K> static inline Low<K> operator op(Low<K> a, Low<K> b) { return Low<K>(float(a) op float(b)); } \
    template <class K> static inline Low2<K> operator op(Low2<K> a, Low2<K> b) { return Low2<K>(a.x op b.x, a.y op b.y); }
LOW_OPERATOR(+)
LOW_OPERATOR(-)
LOW_OPERATOR(*)
LOW_OPERATOR(/)
#define LOW_COMPARISON(op) \
    template <class K> static inline bool operator op(Low<K> a, Low<K> b) { return float(a) op float(b); }
LOW_COMPARISON(<)
LOW_COMPARISON(<=)
LOW_COMPARISON(>)
LOW_COMPARISON(>=)
LOW_COMPARISON(==)
LOW_COMPARISON(!=)
#define LOW_FUNCTION(name, of)                                                                   \
    template <class K> static inline Low<K> name(Low<K> x) { return Low<K>(of(float(x))); }         \
    template <class K> static inline Low2<K> name##2(Low2<K> x) { return Low2<K>(name(x.x), name(x.y)); }
LOW_FUNCTION(hexp, expf)
LOW_FUNCTION(hlog, logf)
LOW_FUNCTION(hsqrt, sqrtf)
LOW_FUNCTION(hrsqrt, rsqrtf)
LOW_FUNCTION(hrcp, 1.0f /)
LOW_FUNCTION(hsin, sinf)
LOW_FUNCTION(hcos, cosf)
LOW_FUNCTION(htanh, tanhf)
LOW_FUNCTION(hfloor, floorf)
LOW_FUNCTION(hceil, ceilf)
LOW_FUNCTION(htrunc, truncf)
LOW_FUNCTION(hrint, rintf)
LOW_FUNCTION(__habs, fabsf)
template <class K> static inline Low<K> __hfma(Low<K> a, Low<K> b, Low<K> c) {
    // exact in f64 before the one rounding to f32 that is left
    return Low<K>((float)((double)float(a) * float(b) + float(c)));
}
template <class K> static inline Low2<K> __hfma2(Low2<K> a, Low2<K> b, Low2<K> c) {
    return Low2<K>(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}
template <class K> static inline Low<K> __hmin(Low<K> a, Low<K> b) { return Low<K>(fminf(a, b)); }
template <class K> static inline Low<K> __hmax(Low<K> a, Low<K> b) { return Low<K>(fmaxf(a, b)); }
template <class K> static inline Low2<K> __hmin2(Low2<K> a, Low2<K> b) { return Low2<K>(__hmin(a.x, b.x), __hmin(a.y, b.y)); }
template <class K> static inline Low2<K> __hmax2(Low2<K> a, Low2<K> b) { return Low2<K>(__hmax(a.x, b.x), __hmax(a.y, b.y)); }
template <class K> static inline bool __hisnan(Low<K> x) { return float(x) != float(x); }
template <class K> static inline bool __hisinf(Low<K> x) { return std::isinf(float(x)); }
