#pragma once
#include "low.h"
typedef Low<Bf16> __nv_bfloat16;
typedef Low2<Bf16> __nv_bfloat162;
static inline float __bfloat162float(__nv_bfloat16 x) { return x; }
static inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
