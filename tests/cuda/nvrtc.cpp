// A stand-in for libnvrtc.so, NVIDIA's compiler of CUDA C++.
//
// With STANDIN_EXECUTE the source itself is the "PTX", which the stand-in for the driver compiles by g++.
// Else it stands before the real one, STANDIN_NVRTC: it keeps each source, each PTX by its source and
// options, so that nothing is compiled twice, and the time of each compilation. STANDIN_COMPILER=12.4 makes it
// call itself that version and its PTX that which 12.4 makes.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#define API extern "C" __attribute__((visibility("default")))
typedef void* Handle;

static std::string env(const char* name) {
    const char* value = getenv(name);
    return value ? value : "";
}
static std::string hash_of(const std::string& text) {
    unsigned long long hash = 14695981039346656037ull;
    for (unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
    char out[20];
    snprintf(out, sizeof out, "%016llx", hash);
    return out;
}
static std::string read_file(const std::string& path) {
    std::ifstream in(path);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
}
static void write_file(const std::string& path, const std::string& text) {
    std::string temporary = path + "." + std::to_string(getpid());
    std::ofstream(temporary) << text;
    rename(temporary.c_str(), path.c_str());
}

struct Program {
    std::string source, ptx, said;
};

// A function of the real compiler.
template <class F> static F real(const char* name) {
    static void* library = dlopen(env("STANDIN_NVRTC").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "stand-in: %s\n", dlerror());
        exit(2);
    }
    return (F)dlsym(library, name);
}
// Its text of a program: PTX or log.
static std::string text_of(Handle program, const char* size_name, const char* text_name) {
    size_t size = 0;
    real<int (*)(Handle, size_t*)>(size_name)(program, &size);
    std::string text(size, 0);
    real<int (*)(Handle, char*)>(text_name)(program, &text[0]);
    return text.c_str();
}

API int nvrtcVersion(int* major, int* minor) {
    if (sscanf(env("STANDIN_COMPILER").c_str(), "%d.%d", major, minor) == 2) return 0;
    return real<int (*)(int*, int*)>("nvrtcVersion")(major, minor);
}
// The PTX of CUDA 12.N is 8.N up to 12.4.
static std::string as_of_compiler(std::string ptx) {
    int major, minor;
    size_t at = ptx.find(".version ");
    if (at != std::string::npos && sscanf(env("STANDIN_COMPILER").c_str(), "%d.%d", &major, &minor) == 2)
        ptx.replace(at, ptx.find('\n', at) - at, ".version 8." + std::to_string(minor));
    return ptx;
}
API const char* nvrtcGetErrorString(int) { return "NVRTC_ERROR_COMPILATION"; }
API int nvrtcCreateProgram(Handle* out, const char* source, const char*, int, const char* const*, const char* const*) {
    *out = new Program{source, "", ""};
    return 0;
}
API int nvrtcDestroyProgram(Handle* program) { delete (Program*)*program; return 0; }

API int nvrtcCompileProgram(Handle handle, int count, const char* const* options) {
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    auto* program = (Program*)handle;
    std::string folder = env("STANDIN_DIR"), all;
    if (env("STANDIN_EXECUTE") != "") {
        std::ofstream(folder + "/compiled", std::ios::app) << hash_of(program->source) << " for g++\n";
        program->ptx = "//STANDIN-SOURCE\n" + program->source;
        return 0;
    }
    for (int i = 0; i < count; i++) all += std::string(options[i]) + " ";
    mkdir((folder + "/src").c_str(), 0777);
    std::string hash = hash_of(all + "\n" + program->source), base = folder + "/src/" + hash;
    std::ofstream times(folder + "/compiled", std::ios::app);
    if (access((base + ".ptx").c_str(), F_OK) == 0) {
        program->ptx = as_of_compiler(read_file(base + ".ptx"));
        times << hash << " again\n";
        return 0;
    }
    write_file(base + ".cu", "// " + all + "\n" + program->source);
    auto begin = std::chrono::steady_clock::now();
    Handle inner;
    using Create = int (*)(Handle*, const char*, const char*, int, const char* const*, const char* const*);
    int code = real<Create>("nvrtcCreateProgram")(&inner, program->source.c_str(), nullptr, 0, nullptr, nullptr);
    if (code) return code;
    code = real<int (*)(Handle, int, const char* const*)>("nvrtcCompileProgram")(inner, count, options);
    std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    program->said = text_of(inner, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
    if (!program->said.empty()) write_file(base + ".said", program->said);
    if (!code) {
        program->ptx = text_of(inner, "nvrtcGetPTXSize", "nvrtcGetPTX");
        write_file(base + ".ptx", program->ptx);
        program->ptx = as_of_compiler(program->ptx);
    }
    times << hash << " code " << code << " " << (int)took.count() << " ms\n";
    real<int (*)(Handle*)>("nvrtcDestroyProgram")(&inner);
    return code;
}

API int nvrtcGetPTXSize(Handle handle, size_t* size) { *size = ((Program*)handle)->ptx.size() + 1; return 0; }
API int nvrtcGetPTX(Handle handle, char* out) { strcpy(out, ((Program*)handle)->ptx.c_str()); return 0; }
API int nvrtcGetProgramLogSize(Handle handle, size_t* size) { *size = ((Program*)handle)->said.size() + 1; return 0; }
API int nvrtcGetProgramLog(Handle handle, char* out) { strcpy(out, ((Program*)handle)->said.c_str()); return 0; }
