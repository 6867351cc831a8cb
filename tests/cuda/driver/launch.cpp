// Launches: held against the chip's limits, and executed where their module is CUDA C++.
#include "state.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

#define API extern "C" __attribute__((visibility("default"))) CUresult

API cuFuncSetAttribute(CUfunction handle, CUfunction_attribute which, int value) {
    Guard guard(state().lock);
    auto* f = (Function*)handle;
    if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_SUCCESS;
    if (value + f->static_shared > state().chip.shared_of_block) {
        violation("%s: %d bytes of shared memory, %d allowed", f->name.c_str(), value + f->static_shared, state().chip.shared_of_block);
        return CUDA_ERROR_INVALID_VALUE;
    }
    f->dynamic_shared = value;
    return CUDA_SUCCESS;
}
API cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) { *value = 0; return CUDA_SUCCESS; }

typedef void (*Launch)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void**, char*, size_t);

// What the first bytes behind each pointer are after a launch, so that two runs can be compared.
static void trace(const Function* f, const unsigned grid[3], void** parameters) {
    static FILE* file = env("STANDIN_TRACE") == "" ? nullptr : fopen(env("STANDIN_TRACE").c_str(), "w");
    if (!file) return;
    fprintf(file, "%s %u,%u,%u", f->name.c_str(), grid[0], grid[1], grid[2]);
    const std::string& text = f->module->image;
    size_t open = text.find(" " + f->name + "(");
    std::string list = open == std::string::npos ? "" : text.substr(open, text.find(')', open) - open);
    for (size_t i = 0; i < (size_t)std::count(list.begin(), list.end(), '*'); i++) {
        uint64_t address = *(uint64_t*)parameters[i];
        auto* in = holder(address);
        if (!in) continue;
        size_t size = std::min<size_t>(256, in->first + in->second.size - address);
        fprintf(file, " %s", hash_of(std::string((char*)address, size)).substr(0, 6).c_str());
    }
    fputc('\n', file);
    fflush(file);
}

API cuLaunchKernel(CUfunction handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, CUstream stream, void** parameters, void** extra) {
    State& s = state();
    Guard guard(s.lock);
    auto* f = (Function*)handle;
    const char* name = f->name.c_str();
    s.launches++, f->launches++;
    bool legal = true;
    auto at_most = [&](const char* what, unsigned long long value, unsigned long long limit) {
        if (value <= limit) return;
        violation("%s: %s is %llu, the limit %llu", name, what, value, limit);
        legal = false;
    };
    auto is = [&](bool good, const char* what) {
        if (good) return;
        violation("%s: %s", name, what);
        legal = false;
    };
    unsigned threads = bx * by * bz;
    is(current_context(), "no context is current");
    is(s.streams.count(stream), "an unknown stream");
    is(!extra, "parameters are given twice");
    is(gx && gy && gz && threads, "an empty grid or block");
    at_most("grid x", gx, 2147483647u);
    at_most("grid y", gy, 65535);
    at_most("grid z", gz, 65535);
    at_most("block z", bz, 64);
    at_most("the block's threads", threads, f->most_threads ? f->most_threads : 1024);
    at_most("dynamic shared memory", shared, std::max(f->dynamic_shared, 49152));
    at_most("shared memory", shared + f->static_shared, s.chip.shared_of_block);
    at_most("the block's registers", (f->registers * 32 + 255) / 256 * 256 * ((threads + 31) / 32), 65536);
    for (size_t i = 0; i < f->parameter_sizes.size(); i++) {
        uint64_t value = f->parameter_sizes[i] == 8 ? *(uint64_t*)parameters[i] : 0;
        is(value <= 0x10000 || holder(value), "a pointer to no live allocation");
    }
    if (!legal) return CUDA_ERROR_INVALID_VALUE;
    if (!f->run) return CUDA_SUCCESS;
    static const size_t stack = 256 * 1024;
    static char* stacks = (char*)mmap(nullptr, 1024 * stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ((Launch)f->run)(gx, gy, gz, bx, by, bz, shared, parameters, stacks, stack);
    unsigned grid[3] = {gx, gy, gz};
    trace(f, grid, parameters);
    return CUDA_SUCCESS;
}

API cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                           const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
    memset(map, 0, sizeof *map);
    return CUDA_SUCCESS;
}

// burn captures no graphs here; a program that did would find out.
static CUresult not_here(const char* name) {
    violation("%s is not in the stand-in", name);
    return CUDA_ERROR_NOT_SUPPORTED;
}
API cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode) { return not_here("cuStreamBeginCapture"); }
API cuStreamEndCapture(CUstream, CUgraph*) { return not_here("cuStreamEndCapture"); }
API cuGraphLaunch(CUgraphExec, CUstream) { return not_here("cuGraphLaunch"); }
