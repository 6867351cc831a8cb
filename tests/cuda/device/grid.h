// What burn's CUDA C++ needs to be compiled by g++ and executed on the CPU (x86-64): a grid of blocks,
// each thread of a block that has to wait for others a fiber of its own.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __cluster_dims__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;
alignas(1024) static char shared_memory[256 * 1024];

// ---- fibers

enum { READY, WAITS_FOR_WARP, WAITS_FOR_BLOCK, DONE };
enum { SHUFFLE, SHUFFLE_XOR, SHUFFLE_UP, SHUFFLE_DOWN, ALL, ANY, BALLOT, MEET, TOGETHER };

struct Fiber {
    void* stack;
    int state;
    Index thread;
    void* place; // in the program: those who wait at one place wait for each other
    int operation;
    uint64_t in[4], out[4];
    int argument;
};
static Fiber fibers[1024];
static Fiber* running;
static void* scheduler;
static int threads;
static void (*body)();

__attribute__((naked, noinline)) static void switch_to(void** /*from*/, void* /*to*/) {
    asm volatile("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
                 "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
                 "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
static void wait(int state) {
    running->state = state;
    switch_to(&running->stack, scheduler);
}
static void enter() {
    body();
    wait(DONE);
    abort();
}
static void resume(Fiber* fiber) {
    running = fiber;
    threadIdx = fiber->thread;
    switch_to(&scheduler, fiber->stack);
}

// ---- what a warp does together

// Called once, with the fibers that are there.
typedef void (*Together)(Fiber** lanes);

static void resolve(Fiber* warp, int lanes, void* place) {
    Fiber* there[32] = {};
    uint32_t mask = 0, votes = 0;
    for (int i = 0; i < lanes; i++) {
        if (warp[i].state != WAITS_FOR_WARP || warp[i].place != place) continue;
        there[i] = &warp[i], mask |= 1u << i;
        if (warp[i].in[0]) votes |= 1u << i;
    }
    Fiber* first = there[__builtin_ctz(mask)];
    if (first->operation == TOGETHER) ((Together)first->in[0])(there);
    for (int i = 0; i < 32; i++) {
        Fiber* fiber = there[i];
        if (!fiber) continue;
        int from = i;
        switch (fiber->operation) {
        case SHUFFLE: from = fiber->argument & 31; break;
        case SHUFFLE_XOR: from = i ^ fiber->argument; break;
        case SHUFFLE_UP: from = i - fiber->argument; break;
        case SHUFFLE_DOWN: from = i + fiber->argument; break;
        case ALL: fiber->out[0] = votes == mask; break;
        case ANY: fiber->out[0] = votes != 0; break;
        case BALLOT: fiber->out[0] = votes; break;
        }
        if (fiber->operation <= SHUFFLE_DOWN) {
            if (from < 0 || from > 31) from = i;
            if (there[from]) memcpy(fiber->out, there[from]->in, sizeof fiber->out);
            else memset(fiber->out, 0xff, sizeof fiber->out); // undefined on a GPU: NaN here
        }
    }
    for (Fiber* fiber : there)
        if (fiber) fiber->state = READY;
}
static void with_warp(int operation, void* place) {
    running->operation = operation;
    running->place = place;
    wait(WAITS_FOR_WARP);
}
template <class T> static __attribute__((noinline)) T shuffle(int operation, T value, int argument) {
    Fiber* me = running;
    memset(me->in, 0, sizeof me->in);
    memcpy(me->in, &value, sizeof value);
    me->argument = argument;
    with_warp(operation, __builtin_return_address(0));
    T out;
    memcpy(&out, me->out, sizeof out);
    return out;
}
static __attribute__((noinline)) uint32_t vote(int operation, bool value) {
    Fiber* me = running;
    me->in[0] = value;
    with_warp(operation, __builtin_return_address(0));
    return me->out[0];
}
static __attribute__((noinline)) void together(Together what, const void* a, const void* b, const void* c) {
    Fiber* me = running;
    me->in[0] = (uint64_t)what, me->in[1] = (uint64_t)a, me->in[2] = (uint64_t)b, me->in[3] = (uint64_t)c;
    with_warp(TOGETHER, __builtin_return_address(0));
}
#define __activemask() 0xffffffffu
#define __shfl_sync(mask, value, lane) shuffle(SHUFFLE, value, lane)
#define __shfl_xor_sync(mask, value, other) shuffle(SHUFFLE_XOR, value, other)
#define __shfl_up_sync(mask, value, by) shuffle(SHUFFLE_UP, value, by)
#define __shfl_down_sync(mask, value, by) shuffle(SHUFFLE_DOWN, value, by)
#define __all_sync(mask, value) vote(ALL, value)
#define __any_sync(mask, value) vote(ANY, value)
#define __ballot_sync(mask, value) vote(BALLOT, value)
#define __syncwarp(...) ((void)vote(MEET, false))
static __attribute__((noinline)) void __syncthreads() { wait(WAITS_FOR_BLOCK); }
#define __threadfence() ((void)0)

// ---- a grid

static void run_block(char* stacks, size_t stack_size, size_t shared) {
    memset(shared_memory, 0xff, shared); // NaN: what is read before it is written shows
    for (int i = 0; i < threads; i++) {
        fibers[i].state = READY;
        fibers[i].thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        void** top = (void**)(stacks + (i + 1) * stack_size - 64);
        *--top = nullptr;       // keeps the stack at 16 bytes after the return
        *--top = (void*)enter;  // returned to
        for (int r = 0; r < 6; r++) *--top = nullptr;
        fibers[i].stack = top;
    }
    for (;;) {
        bool waiting = false;
        for (int first = 0; first < threads; first += 32) {
            Fiber* warp = &fibers[first];
            int lanes = threads - first < 32 ? threads - first : 32;
            for (;;) {
                for (int i = 0; i < lanes; i++)
                    if (warp[i].state == READY) resume(&warp[i]);
                void* place = nullptr;
                for (int i = 0; i < lanes; i++)
                    if (warp[i].state == WAITS_FOR_WARP && (!place || warp[i].place < place)) place = warp[i].place;
                if (!place) break;
                resolve(warp, lanes, place);
            }
            for (int i = 0; i < lanes; i++) waiting |= warp[i].state == WAITS_FOR_BLOCK;
        }
        if (!waiting) return;
        for (int i = 0; i < threads; i++)
            if (fibers[i].state == WAITS_FOR_BLOCK) fibers[i].state = READY;
    }
}

static void** parameters_of_launch;
template <class... A, size_t... I> static void call(void (*kernel)(A...), std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<A>*)parameters_of_launch[I]...);
}
template <class... A> static void call(void (*kernel)(A...)) { call(kernel, std::index_sequence_for<A...>{}); }

static void run_grid(Index grid, Index block, size_t shared, char* stacks, size_t stack_size, bool waits) {
    gridDim = grid, blockDim = block;
    threads = block.x * block.y * block.z;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                if (waits) {
                    run_block(stacks, stack_size, shared);
                    continue;
                }
                for (unsigned c = 0; c < block.z; c++)
                    for (unsigned b = 0; b < block.y; b++)
                        for (unsigned a = 0; a < block.x; a++) {
                            threadIdx = {a, b, c};
                            body();
                        }
            }
}
#define LAUNCHER(NAME, WAITS)                                                                                                     \
    extern "C" void launch(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void** parameters, \
                           char* stacks, size_t stack_size) {                                                                     \
        parameters_of_launch = parameters;                                                                                        \
        body = [] { call(NAME); };                                                                                                \
        run_grid({gx, gy, gz}, {bx, by, bz}, shared, stacks, stack_size, WAITS);                                                  \
    }

#include "functions.h"
