#pragma once
#include "low.h"
typedef Low<F16> __half;
typedef Low2<F16> __half2;
static inline float __half2float(__half x) { return x; }
static inline __half __float2half(float x) { return __half(x); }
static inline __half __float2half_rn(float x) { return __half(x); }
