// The state of the stand-in, its log and its files.
#include "state.h"

#include <cstdarg>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

static const Chip CHIPS[] = {
    {61, "NVIDIA GeForce GTX 1080 Ti", 28, 49152, 98304, 11},
    {70, "Tesla V100-SXM2-32GB", 80, 98304, 98304, 32},
    {75, "Tesla T4", 40, 65536, 65536, 15},
    {80, "NVIDIA A100-SXM4-80GB", 108, 166912, 167936, 80},
    {86, "NVIDIA GeForce RTX 3090", 82, 101376, 102400, 24},
    {89, "NVIDIA GeForce RTX 4090", 128, 101376, 102400, 24},
    {90, "NVIDIA H100 80GB HBM3", 132, 232448, 233472, 80},
    {100, "NVIDIA B200", 148, 232448, 233472, 180},
    {120, "NVIDIA GeForce RTX 5090", 170, 101376, 102400, 32},
};

static int number(const char* name, const char* otherwise) { return atoi(env(name, otherwise).c_str()); }

// The numbers of the run, which its checks look at.
static void conclude() {
    State& s = state();
    Guard guard(s.lock);
    say("SUMMARY chip %d modules %zu launches %llu copies %llu violations %llu peak %.1f MiB", s.chip.capability,
        s.modules.size(), (unsigned long long)s.launches, (unsigned long long)s.copies,
        (unsigned long long)s.violations, s.peak / (1 << 20));
    for (Function* f : s.functions)
        say("KERNEL %s %s launches %llu registers %d shared %d + %d", f->module->hash.c_str(), f->name.c_str(),
            (unsigned long long)f->launches, f->registers, f->static_shared, f->dynamic_shared);
}

State& state() {
    static State* only = [] {
        auto* s = new State;
        int capability = number("STANDIN_CHIP", "90");
        for (const Chip& chip : CHIPS)
            if (chip.capability == capability) s->chip = chip;
        if (s->chip.capability != capability) {
            fprintf(stderr, "stand-in: there is no chip %d\n", capability);
            exit(2);
        }
        s->driver = number("STANDIN_DRIVER", "12090");
        s->devices = number("STANDIN_DEVICES", "1");
        s->limit = (env("STANDIN_GIB") == "" ? s->chip.gib : atof(env("STANDIN_GIB").c_str())) * (1ull << 30);
        s->folder = env("STANDIN_DIR", "/tmp/standin");
        s->assembler = env("STANDIN_PTXAS");
        s->poison = env("STANDIN_POISON") != "";
        for (const char* part : {"", "/src", "/ptx", "/cpu"}) mkdir((s->folder + part).c_str(), 0777);
        s->log = fopen((s->folder + "/log").c_str(), "a");
        setvbuf(s->log, nullptr, _IOLBF, 0);
        return s;
    }();
    static bool once = [] { atexit(conclude); return true; }();
    (void)once;
    return *only;
}

std::string env(const char* name, const char* otherwise) {
    const char* value = getenv(name);
    return value && *value ? value : otherwise;
}

void say(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(state().log, format, arguments);
    va_end(arguments);
    fputc('\n', state().log);
}

void violation(const char* format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    state().violations++;
    if (state().said[text]++ < 3) {
        say("VIOLATION %s", text);
        fprintf(stderr, "stand-in: VIOLATION %s\n", text);
    }
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string read_file(const std::string& path) {
    std::ifstream in(path);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
}

// Whole at every instant: several processes share the folder.
void write_file(const std::string& path, const std::string& text) {
    std::string temporary = path + "." + std::to_string(getpid());
    std::ofstream(temporary) << text;
    rename(temporary.c_str(), path.c_str());
}

// FNV-1a.
std::string hash_of(const std::string& text) {
    unsigned long long hash = 14695981039346656037ull;
    for (unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
    char out[20];
    snprintf(out, sizeof out, "%016llx", hash);
    return out;
}

const std::pair<const uint64_t, Allocation>* holder(uint64_t address) {
    auto& memory = state().memory;
    auto after = memory.upper_bound(address);
    if (after == memory.begin()) return nullptr;
    auto& before = *--after;
    return address < before.first + before.second.size ? &before : nullptr;
}
