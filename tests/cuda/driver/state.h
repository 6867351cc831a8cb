// What the parts of the stand-in for NVIDIA's driver share.
#pragma once
#include <cuda.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

// What the program asks of a chip, from NVIDIA's tables of technical specifications.
struct Chip {
    int capability;
    const char* name;
    int multiprocessors;
    int shared_of_block;
    int shared_of_multiprocessor;
    double gib;
};

struct Allocation {
    size_t size;
};

struct Module {
    std::string hash, image;
    bool source = false;   // CUDA C++ to execute on the CPU, else PTX
    void* library = nullptr;
};

struct Function {
    Module* module;
    std::string name;
    void* run = nullptr;   // executes a grid, if its module is source
    int dynamic_shared = 0;
    // from PTX and what the assembler says of it
    int registers = 0, static_shared = 0, most_threads = 0;
    std::vector<int> parameter_sizes;
    uint64_t launches = 0;
};

struct State {
    std::recursive_mutex lock;
    Chip chip;
    int driver, devices;
    double limit;
    std::string folder, assembler;
    bool poison;
    FILE* log;
    std::map<uint64_t, Allocation> memory;
    double used = 0, peak = 0;
    std::set<void*> streams;
    std::vector<Function*> functions;
    std::map<std::string, Module*> modules;
    uint64_t launches = 0, copies = 0, violations = 0;
    std::map<std::string, int> said;
};

State& state();
using Guard = std::lock_guard<std::recursive_mutex>;

// A variable of the environment, or `otherwise` where it is unset or empty.
std::string env(const char* name, const char* otherwise = "");
// A line in the log.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
// The same for what no real driver would let pass, and on stderr.
void violation(const char* format, ...) __attribute__((format(printf, 1, 2)));

bool exists(const std::string& path);
std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);
std::string hash_of(const std::string& text);

// The device's allocation that an address lies in, or none.
const std::pair<const uint64_t, Allocation>* holder(uint64_t address);
CUcontext current_context();
