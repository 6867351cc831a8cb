// nvcuda::wmma on the CPU: a fragment's elements are dealt to the lanes in rows. TF32 keeps 10 bits of
// the mantissa, unless EXACT_TF32 is defined.
#pragma once

namespace nvcuda {
namespace wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32 {};
}
template <class T> struct stored { typedef T type; };
template <> struct stored<precision::tf32> { typedef float type; };

static inline float cut(float x, uint32_t half) {
#ifndef EXACT_TF32
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + half) & 0xffffe000;
    memcpy(&x, &bits, 4);
#endif
    return x;
}
// To the nearest, ties away from zero.
static inline float __float_to_tf32(float x) { return cut(x, 0x1000); }

template <class Use, int M, int N, int K> struct extent;
template <int M, int N, int K> struct extent<matrix_a, M, N, K> { enum { rows = M, columns = K }; };
template <int M, int N, int K> struct extent<matrix_b, M, N, K> { enum { rows = K, columns = N }; };
template <int M, int N, int K> struct extent<accumulator, M, N, K> { enum { rows = M, columns = N }; };

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
    typedef typename stored<T>::type element;
    enum { rows = extent<Use, M, N, K>::rows, columns = extent<Use, M, N, K>::columns, num_elements = rows * columns / 32 };
    element x[num_elements];
};
static inline int lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31; }
template <class F, class V> static inline void fill_fragment(F& f, V value) {
    for (int i = 0; i < F::num_elements; i++) f.x[i] = value;
}
template <class F> static inline void load(F& f, const typename F::element* from, unsigned stride, bool by_row) {
    __syncwarp();
    for (int i = 0; i < F::num_elements; i++) {
        int at = lane() * F::num_elements + i, row = at / F::columns, column = at % F::columns;
        f.x[i] = by_row ? from[row * stride + column] : from[column * stride + row];
    }
}
template <class Use, int M, int N, int K, class T, class P>
static inline void load_matrix_sync(fragment<Use, M, N, K, T, row_major>& f, const P* from, unsigned stride) { load(f, from, stride, true); }
template <class Use, int M, int N, int K, class T, class P>
static inline void load_matrix_sync(fragment<Use, M, N, K, T, col_major>& f, const P* from, unsigned stride) { load(f, from, stride, false); }
template <int M, int N, int K, class T, class P>
static inline void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const P* from, unsigned stride, layout_t layout) {
    load(f, from, stride, layout == mem_row_major);
}
template <int M, int N, int K, class T, class P>
static inline void store_matrix_sync(P* to, const fragment<accumulator, M, N, K, T>& f, unsigned stride, layout_t layout) {
    typedef fragment<accumulator, M, N, K, T> F;
    for (int i = 0; i < F::num_elements; i++) {
        int at = lane() * F::num_elements + i, row = at / N, column = at % N;
        to[layout == mem_row_major ? row * stride + column : column * stride + row] = f.x[i];
    }
    __syncwarp();
}

// Products of f16, bf16 and TF32 are exact in f32. A tensor core's own sums are not IEEE's; these are.
template <int M, int N, int K, class TD, class TA, class LA, class TB, class LB, class TC> struct product {
    template <class V, class T> static float value(V v, T) { return float(v); }
    // the hardware drops what no conversion dropped
    template <class V> static float value(V v, precision::tf32) { return cut(v, 0); }

    static void run(Fiber** lanes) {
        static float a[M * K], b[K * N];
        typedef fragment<matrix_a, M, N, K, TA, LA> A;
        typedef fragment<matrix_b, M, N, K, TB, LB> B;
        typedef fragment<accumulator, M, N, K, TC> C;
        typedef fragment<accumulator, M, N, K, TD> D;
        for (int l = 0; l < 32; l++) {
            if (!lanes[l]) abort(); // a warp that is not whole: undefined on a GPU
            for (int i = 0; i < A::num_elements; i++) a[l * A::num_elements + i] = value(((A*)lanes[l]->in[1])->x[i], TA());
            for (int i = 0; i < B::num_elements; i++) b[l * B::num_elements + i] = value(((B*)lanes[l]->in[2])->x[i], TB());
        }
        for (int l = 0; l < 32; l++)
            for (int i = 0; i < D::num_elements; i++) {
                int at = l * D::num_elements + i, row = at / N, column = at % N;
                float sum = float(((C*)lanes[l]->in[3])->x[i]);
                for (int k = 0; k < K; k++) sum += a[row * K + k] * b[k * N + column];
                ((D*)lanes[l]->out[0])->x[i] = sum;
            }
    }
};
template <int M, int N, int K, class TD, class TA, class LA, class TB, class LB, class TC>
static inline void mma_sync(fragment<accumulator, M, N, K, TD>& d, const fragment<matrix_a, M, N, K, TA, LA>& a,
                            const fragment<matrix_b, M, N, K, TB, LB>& b, const fragment<accumulator, M, N, K, TC>& c) {
    running->out[0] = (uint64_t)&d;
    together(&product<M, N, K, TD, TA, LA, TB, LB, TC>::run, &a, &b, &c);
}
} // namespace wmma
} // namespace nvcuda
