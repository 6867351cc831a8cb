// The stand-ins themselves: a kernel as burn writes them, with a sum over a block and a product on
// tensor cores, goes through compiler, driver and launch.
//
//   selftest         executed: its numbers must be right
//   selftest refuse  checked: launches that no GPU takes must be refused
//   selftest ptx     the compiler's PTX must be too new for the driver
#include <cuda.h>
#include <nvrtc.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

static void expect(bool good, const char* what) {
    if (good) return;
    fprintf(stderr, "selftest: %s\n", what);
    exit(1);
}

static const char* SOURCE = R"(
#include <mma.h>
extern "C" __global__ void __launch_bounds__(64) kernel(const float* in, float* sum, float* product) {
    extern __shared__ __align__(16) char memory[];
    float* shared = (float*)memory;
    float value = in[threadIdx.x];
    for (int by = 16; by; by /= 2) value += __shfl_xor_sync(0xffffffffu, value, by);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
    __syncthreads();
    if (threadIdx.x == 0) *sum = shared[0] + shared[1];
#if __CUDA_ARCH__ >= 800
    if (threadIdx.x < 32) {
        using namespace nvcuda::wmma;
        fragment<matrix_a, 16, 16, 8, precision::tf32, row_major> a;
        fragment<matrix_b, 16, 16, 8, precision::tf32, col_major> b;
        fragment<accumulator, 16, 16, 8, float> c;
        fill_fragment(c, 0.0f);
        load_matrix_sync(a, in, 8);
        load_matrix_sync(b, in, 8);
        mma_sync(c, a, b, c);
        store_matrix_sync(product, c, 16, mem_row_major);
    }
#endif
}
)";

int main(int, char** arguments) {
    std::string mode = arguments[1] ? arguments[1] : "";
    nvrtcProgram program;
    expect(!nvrtcCreateProgram(&program, SOURCE, nullptr, 0, nullptr, nullptr), "no program");
    std::string include = std::string("--include-path=") + getenv("CUDA_PATH") + "/include";
    std::string chip = std::string("--gpu-architecture=sm_") + getenv("STANDIN_CHIP");
    const char* options[] = {chip.c_str(), include.c_str()};
    expect(!nvrtcCompileProgram(program, 2, options), "the kernel does not compile");
    size_t size;
    nvrtcGetPTXSize(program, &size);
    std::vector<char> image(size);
    nvrtcGetPTX(program, image.data());

    CUcontext context;
    CUstream stream;
    CUmodule module;
    CUfunction kernel;
    expect(!cuInit(0) && !cuDevicePrimaryCtxRetain(&context, 0) && !cuCtxSetCurrent(context), "no context");
    expect(!cuStreamCreate(&stream, 0), "no stream");
    CUresult loaded = cuModuleLoadData(&module, image.data());
    if (mode == "ptx") {
        expect(loaded == CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "an old driver takes new PTX");
        return 0;
    }
    expect(!loaded && !cuModuleGetFunction(&kernel, module, "kernel"), "the kernel is not loaded");

    float in[128], sum = 0, product[256];
    for (int i = 0; i < 128; i++) in[i] = i % 7 - 3.0f;
    CUdeviceptr memory[3];
    for (auto& one : memory) expect(!cuMemAlloc(&one, 1024), "no memory");
    expect(!cuMemcpyHtoDAsync(memory[0], in, sizeof in, stream), "no copy");
    void* parameters[] = {&memory[0], &memory[1], &memory[2]};
    auto launch = [&](unsigned threads, unsigned shared, CUstream on) {
        return cuLaunchKernel(kernel, 1, 1, 1, threads, 1, 1, shared, on, parameters, nullptr);
    };
    if (mode == "refuse") {
        expect(launch(128, 8, stream), "more threads than the launch bounds");
        expect(launch(64, 300000, stream), "more shared memory than there is");
        expect(launch(64, 8, (CUstream)1), "a stream that nobody made");
        CUdeviceptr kept = memory[0];
        memory[0] = 0x123456;
        expect(launch(64, 8, stream), "a pointer to nothing");
        memory[0] = kept;
        expect(!launch(64, 8, stream), "a good launch is refused");
        return 0;
    }
    expect(!launch(64, 8, stream), "no launch");
    cuMemcpyDtoHAsync(&sum, memory[1], sizeof sum, stream);
    cuMemcpyDtoHAsync(product, memory[2], sizeof product, stream);
    float wanted = 0;
    for (int i = 0; i < 64; i++) wanted += in[i];
    expect(sum == wanted, "the sum is wrong");
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) {
            float element = 0;
            for (int k = 0; k < 8; k++) element += in[row * 8 + k] * in[column * 8 + k];
            expect(product[row * 16 + column] == element, "the product is wrong");
        }
    return 0;
}
