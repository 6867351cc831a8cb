// Modules: PTX is held against the driver's version and given to NVIDIA's assembler; CUDA C++, which the
// stand-in for the compiler hands through, is compiled by g++.
#include "state.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <regex>

#define API extern "C" __attribute__((visibility("default"))) CUresult

// The newest PTX that a driver of this CUDA version takes ("PTX ISA Version" in NVIDIA's release notes).
static double newest_ptx(int driver) {
    static const struct { int driver; double ptx; } RELEASES[] = {
        {13000, 9.0}, {12090, 8.8}, {12080, 8.7}, {12070, 8.6}, {12050, 8.5}, {12040, 8.4}, {12030, 8.3},
        {12020, 8.2}, {12010, 8.1}, {12000, 8.0}, {11080, 7.8}, {11070, 7.7}, {11060, 7.6}, {11050, 7.5},
    };
    for (auto& release : RELEASES)
        if (driver >= release.driver) return release.ptx;
    return 7.0;
}

static double version_of(const std::string& ptx) {
    size_t at = ptx.find(".version ");
    return at == std::string::npos ? 0 : atof(ptx.c_str() + at + 9);
}

static bool assembles(Module* module) {
    State& s = state();
    std::string base = s.folder + "/ptx/" + module->hash, said = base + ".ptxas";
    write_file(base + ".ptx", module->image);
    if (!exists(said)) {
        std::string chip = "sm_" + std::to_string(s.chip.capability) + (s.chip.capability >= 90 ? "a" : "");
        std::string command = "env -u LD_PRELOAD -u LD_LIBRARY_PATH " + s.assembler + " -v -arch=" + chip + " " + base + ".ptx -o " +
                              base + ".cubin >" + base + ".out 2>&1; echo \"code $?\" >>" + base + ".out; rm -f " + base + ".cubin; mv " +
                              base + ".out " + said;
        if (system(command.c_str())) return false;
    }
    return read_file(said).find("code 0") != std::string::npos;
}

// The source as g++ takes it: dynamic shared memory is the shim's, whose integer types are there already.
static std::string for_the_cpu(const std::string& source) {
    std::string text = std::regex_replace(source, std::regex("extern __shared__ __align__\\(\\d+\\) char (\\w+)\\[\\];"),
                                          "char* $1 = shared_memory;");
    text = std::regex_replace(text, std::regex("typedef (un)?signed [a-z ]+ u?int\\d+_t;"), "");
    text = std::regex_replace(
        text, std::regex("asm volatile\\(\"atom\\.relaxed\\.add\\.f32 %0, \\[%1\\], %2;\" : \"=f\"\\(result\\) : \"l\"\\((\\w+)\\), \"f\"\\((\\w+)\\) \\);"),
        "result = atomicAdd((float*)$1, $2);");
    text = std::regex_replace(
        text, std::regex("asm\\(\"(max|min)\\.NaN\\.f32 %0, %1, %2;\" : \"=f\"\\(result\\) : \"f\"\\((\\w+)\\), \"f\"\\((\\w+)\\)\\);"),
        "result = nan_$1($2, $3);");
    std::smatch found;
    std::string name = "unknown";
    if (std::regex_search(text, found, std::regex("__global__ void __launch_bounds__\\(\\d+\\)\\s*(__cluster_dims__\\([^)]*\\))?\\s*(\\w+)\\("))) name = found[2];
    // a thread that waits for none needs no stack of its own
    bool waits = false;
    for (const char* word : {"__sync", "__shfl", "_sync(", "__activemask", "wmma::", "asm"}) waits |= text.find(word) != std::string::npos;
    return text + "\nLAUNCHER(" + name + ", " + (waits ? "true" : "false") + ")\n";
}

static bool compiles(Module* module) {
    std::string base = state().folder + "/cpu/" + module->hash, library = base + ".so", device = env("STANDIN_DEVICE", ".");
    if (!exists(library)) {
        write_file(base + ".cpp", for_the_cpu(module->image));
        std::string command = "env -u LD_PRELOAD -u LD_LIBRARY_PATH g++ -std=c++17 -O1 -fPIC -shared -fpermissive -w -march=native -ffp-contract=off -D__CUDA_ARCH__=800 " +
                              env("STANDIN_CXXFLAGS") + " -I" + device + " -include " + device + "/grid.h " + base + ".cpp -o " + base +
                              ".part >" + base + ".said 2>&1 && mv " + base + ".part " + library;
        if (system(command.c_str())) {
            violation("g++ does not compile a kernel: see %s.said", base.c_str());
            return false;
        }
    }
    module->library = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!module->library) violation("%s", dlerror());
    return module->library;
}

API cuModuleLoadData(CUmodule* out, const void* image) {
    State& s = state();
    Guard guard(s.lock);
    std::string text((const char*)image);
    bool source = text.rfind("//STANDIN-SOURCE", 0) == 0;
    std::string hash = hash_of(text);
    auto found = s.modules.find(hash);
    if (found != s.modules.end()) {
        *out = (CUmodule)found->second;
        return CUDA_SUCCESS;
    }
    auto* module = new Module;
    module->hash = hash, module->image = text, module->source = source;
    if (source) {
        if (!compiles(module)) return CUDA_ERROR_INVALID_PTX;
    } else if (version_of(text) > newest_ptx(s.driver) + 1e-9) {
        say("REFUSED PTX %.1f, driver %d takes %.1f", version_of(text), s.driver, newest_ptx(s.driver));
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    } else if (!assembles(module)) {
        violation("the assembler refuses a kernel: see %s/ptx/%s.ptxas", s.folder.c_str(), hash.c_str());
        return CUDA_ERROR_INVALID_PTX;
    }
    s.modules[hash] = module;
    *out = (CUmodule)module;
    return CUDA_SUCCESS;
}
API cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned, CUjit_option*, void**) { return cuModuleLoadData(out, image); }
API cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

// The number before a unit in what the assembler says.
static int number_before(const std::string& text, const char* unit) {
    size_t at = text.find(unit), from = at;
    if (at == std::string::npos) return 0;
    while (from && isdigit(text[from - 1])) from--;
    return atoi(text.substr(from, at - from).c_str());
}

static void read_entry(Function* f) {
    const std::string& ptx = f->module->image;
    size_t open = ptx.find('(', ptx.find(".entry " + f->name)), close = ptx.find(')', open), body = ptx.find('{', close);
    for (size_t at = open; (at = ptx.find(".param", at)) != std::string::npos && at < close; at += 6) {
        std::string line = ptx.substr(at, ptx.find_first_of(",\n", at) - at);
        size_t array = line.find('[');
        bool wide = line.find("64") != std::string::npos;
        f->parameter_sizes.push_back(array == std::string::npos ? (wide ? 8 : 4) : atoi(line.c_str() + array + 1));
    }
    size_t threads = ptx.find(".maxntid ", close);
    int x = 1, y = 1, z = 1;
    if (threads < body && sscanf(ptx.c_str() + threads, ".maxntid %d, %d, %d", &x, &y, &z) > 0) f->most_threads = x * y * z;
    std::string said = read_file(state().folder + "/ptx/" + f->module->hash + ".ptxas");
    f->registers = number_before(said, " registers");
    f->static_shared = number_before(said, " bytes smem");
}

API cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
    Guard guard(state().lock);
    auto* module = (Module*)handle;
    auto* f = new Function;
    f->module = module, f->name = name;
    if (module->source) {
        f->run = dlsym(module->library, "launch");
    } else if (module->image.find(".entry " + f->name + "(") != std::string::npos) {
        read_entry(f);
    } else {
        return CUDA_ERROR_NOT_FOUND;
    }
    state().functions.push_back(f);
    *out = (CUfunction)f;
    return CUDA_SUCCESS;
}
