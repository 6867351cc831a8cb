// A stand-in for NVIDIA's libcuda.so.1 on machines without an NVIDIA GPU: devices, contexts, streams,
// events and memory. It has what cubecl-cuda 0.11 and cudarc 0.19 call. Device memory is the host's, and
// streams do everything at once.
#include "state.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>

#undef cuDeviceTotalMem
#undef cuEventElapsedTime

#define API extern "C" __attribute__((visibility("default"))) CUresult

// ---- devices

API cuInit(unsigned) { return (CUresult)atoi(env("STANDIN_INIT", "0").c_str()); }
API cuDriverGetVersion(int* version) { *version = state().driver; return CUDA_SUCCESS; }
API cuDeviceGetCount(int* count) { *count = state().devices; return CUDA_SUCCESS; }
API cuDeviceGet(CUdevice* device, int ordinal) {
    if (ordinal < 0 || ordinal >= state().devices) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}
API cuDeviceGetName(char* name, int length, CUdevice) {
    snprintf(name, length, "%s", state().chip.name);
    return CUDA_SUCCESS;
}
API cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { *bytes = (size_t)state().limit; return CUDA_SUCCESS; }
API cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
    snprintf(id, length, "0000:%02x:00.0", 0x18 + device);
    return CUDA_SUCCESS;
}
API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) { memset(uuid, 0x11 + device, sizeof *uuid); return CUDA_SUCCESS; }
API cuDeviceGetAttribute(int* value, CUdevice_attribute which, CUdevice) {
    const Chip& chip = state().chip;
    switch (which) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = chip.shared_of_block; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = chip.shared_of_multiprocessor; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: *value = 65536; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = chip.multiprocessors; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = chip.capability / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = chip.capability % 10; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: *value = 1; break;
    default: say("attribute %d is asked for, and 0 answered", which); *value = 0;
    }
    return CUDA_SUCCESS;
}

// ---- contexts, streams, events

static thread_local CUcontext current;
CUcontext current_context() { return current; }

API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
    int answer = atoi(env("STANDIN_CONTEXT", "0").c_str());
    if (answer) return (CUresult)answer;
    *context = (CUcontext)(intptr_t)(0x1000 + device);
    return CUDA_SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
API cuCtxSetCurrent(CUcontext context) { current = context; return CUDA_SUCCESS; }
API cuCtxGetCurrent(CUcontext* context) { *context = current; return CUDA_SUCCESS; }
API cuCtxSynchronize() { return CUDA_SUCCESS; }
API cuCtxGetStreamPriorityRange(int* least, int* greatest) { *least = 0, *greatest = -5; return CUDA_SUCCESS; }

API cuStreamCreateWithPriority(CUstream* stream, unsigned, int) {
    Guard guard(state().lock);
    if (!current) {
        violation("a stream is created without a current context");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    *stream = (CUstream)malloc(16);
    state().streams.insert(*stream);
    return CUDA_SUCCESS;
}
API cuStreamCreate(CUstream* stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }
API cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
API cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
API cuStreamQuery(CUstream) { return CUDA_SUCCESS; }
API cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
API cuLaunchHostFunc(CUstream, CUhostFn function, void* data) { function(data); return CUDA_SUCCESS; }

// An event is its time in milliseconds.
API cuEventCreate(CUevent* event, unsigned) { *event = (CUevent) new double(0); return CUDA_SUCCESS; }
API cuEventDestroy_v2(CUevent event) { delete (double*)event; return CUDA_SUCCESS; }
API cuEventRecord(CUevent event, CUstream) {
    using namespace std::chrono;
    *(double*)event = duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
    return CUDA_SUCCESS;
}
API cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
API cuEventQuery(CUevent) { return CUDA_SUCCESS; }
API cuEventElapsedTime(float* ms, CUevent start, CUevent end) {
    *ms = (float)(*(double*)end - *(double*)start);
    return CUDA_SUCCESS;
}
API cuEventElapsedTime_v2(float* ms, CUevent start, CUevent end) { return cuEventElapsedTime(ms, start, end); }

// ---- memory

API cuMemAlloc_v2(CUdeviceptr* out, size_t size) {
    State& s = state();
    Guard guard(s.lock);
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    if (s.used + size > s.limit) return CUDA_ERROR_OUT_OF_MEMORY;
    // a page that is no allocation's lies between two of them
    void* memory = mmap(nullptr, (size + 8191) & ~4095ull, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    if (s.poison) memset(memory, 0xff, size);
    s.memory[(uint64_t)memory] = {size};
    s.used += size;
    s.peak = std::max(s.peak, s.used);
    *out = (CUdeviceptr)memory;
    return CUDA_SUCCESS;
}
API cuMemAllocAsync(CUdeviceptr* out, size_t size, CUstream) { return cuMemAlloc_v2(out, size); }
API cuMemFree_v2(CUdeviceptr address) {
    State& s = state();
    Guard guard(s.lock);
    auto found = s.memory.find(address);
    if (found == s.memory.end()) {
        violation("what was not allocated is freed");
        return CUDA_ERROR_INVALID_VALUE;
    }
    s.used -= found->second.size;
    munmap((void*)address, (found->second.size + 8191) & ~4095ull);
    s.memory.erase(found);
    return CUDA_SUCCESS;
}
API cuMemFreeAsync(CUdeviceptr address, CUstream) { return cuMemFree_v2(address); }
API cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    Guard guard(state().lock);
    *total = (size_t)state().limit;
    *free_bytes = (size_t)(state().limit - state().used);
    return CUDA_SUCCESS;
}
API cuMemAllocHost_v2(void** out, size_t size) {
    *out = aligned_alloc(4096, (size + 4095) & ~4095ull);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
API cuMemHostAlloc(void** out, size_t size, unsigned) { return cuMemAllocHost_v2(out, size); }
API cuMemFreeHost(void* memory) { free(memory); return CUDA_SUCCESS; }

static void check_device(const char* what, uint64_t address, size_t size) {
    auto* in = holder(address);
    if (size && (!in || address + size > in->first + in->second.size))
        violation("%s of %zu bytes at %llx: not all in one live allocation", what, size, (unsigned long long)address);
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t size, CUstream) {
    Guard guard(state().lock);
    state().copies++;
    check_device("copy to the device", to, size);
    memcpy((void*)to, from, size);
    return CUDA_SUCCESS;
}
API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t size) { return cuMemcpyHtoDAsync_v2(to, from, size, nullptr); }
API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t size, CUstream) {
    Guard guard(state().lock);
    state().copies++;
    check_device("copy from the device", from, size);
    memcpy(to, (void*)from, size);
    return CUDA_SUCCESS;
}
API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t size) { return cuMemcpyDtoHAsync_v2(to, from, size, nullptr); }
API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream) {
    Guard guard(state().lock);
    state().copies++;
    check_device("copy on the device, to", to, size);
    check_device("copy on the device, from", from, size);
    memmove((void*)to, (void*)from, size);
    return CUDA_SUCCESS;
}
API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream) {
    Guard guard(state().lock);
    state().copies++;
    bool from_host = copy->srcMemoryType == CU_MEMORYTYPE_HOST, to_host = copy->dstMemoryType == CU_MEMORYTYPE_HOST;
    const char* from = from_host ? (const char*)copy->srcHost : (const char*)copy->srcDevice;
    char* to = to_host ? (char*)copy->dstHost : (char*)copy->dstDevice;
    from += copy->srcY * copy->srcPitch + copy->srcXInBytes;
    to += copy->dstY * copy->dstPitch + copy->dstXInBytes;
    if (copy->WidthInBytes > copy->srcPitch || copy->WidthInBytes > copy->dstPitch) violation("a copy is wider than its pitch");
    if (copy->srcPitch > 2147483647 || copy->dstPitch > 2147483647) violation("a copy's pitch is over the largest");
    if (copy->Height && !from_host)
        check_device("2D copy from the device", (uint64_t)from, (copy->Height - 1) * copy->srcPitch + copy->WidthInBytes);
    if (copy->Height && !to_host)
        check_device("2D copy to the device", (uint64_t)to, (copy->Height - 1) * copy->dstPitch + copy->WidthInBytes);
    for (size_t y = 0; y < copy->Height; y++) memcpy(to + y * copy->dstPitch, from + y * copy->srcPitch, copy->WidthInBytes);
    return CUDA_SUCCESS;
}
API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, CUstream) {
    Guard guard(state().lock);
    check_device("memset", to, size);
    memset((void*)to, value, size);
    return CUDA_SUCCESS;
}

// ---- the rest

// NVRTC asks for a private table of the driver's, and goes on without.
API cuGetExportTable(const void** table, const CUuuid*) { *table = nullptr; return CUDA_ERROR_NOT_FOUND; }

API cuGetErrorName(CUresult error, const char** name) {
    switch (error) {
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case CUDA_ERROR_INVALID_PTX: *name = "CUDA_ERROR_INVALID_PTX"; break;
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: *name = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"; break;
    default: *name = "CUDA_ERROR_UNKNOWN";
    }
    return CUDA_SUCCESS;
}
API cuGetErrorString(CUresult error, const char** text) {
    switch (error) {
    case CUDA_ERROR_NO_DEVICE: *text = "no CUDA-capable device is detected"; return CUDA_SUCCESS;
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
        *text = "the provided PTX was compiled with an unsupported toolchain.";
        return CUDA_SUCCESS;
    default: return cuGetErrorName(error, text);
    }
}

// The program looks for the device's file before it asks for a GPU.
extern "C" __attribute__((visibility("default"))) int statx(int folder, const char* path, int flags, unsigned mask, struct statx* out) {
    using Statx = int (*)(int, const char*, int, unsigned, struct statx*);
    static Statx real = (Statx)dlsym(RTLD_NEXT, "statx");
    // Rust tries the function with a bad address first
    if ((uintptr_t)path > 4096 && !strcmp(path, "/dev/nvidiactl")) path = "/dev/null";
    return real(folder, path, flags, mask, out);
}
