#include "tools/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace mortise::test {

namespace {

std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

}  // namespace

Outcome mortise(const std::vector<std::string>& arguments, const std::vector<std::string>& variables) {
    char folder[] = "/tmp/mortise-cli-XXXXXX";
    if (!mkdtemp(folder)) return {};
    std::string out = std::string(folder) + "/out", err = std::string(folder) + "/err";
    std::vector<std::string> words = {MORTISE_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<std::string> environment = {"PATH=/usr/bin:/bin", std::string("HOME=") + folder};
    for (const char* kept : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
        if (const char* value = std::getenv(kept)) environment.push_back(std::string(kept) + "=" + value);
    }
    environment.insert(environment.end(), variables.begin(), variables.end());
    std::vector<char*> argv = pointers(words), envp = pointers(environment);
    pid_t child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(open(out.c_str(), O_CREAT | O_WRONLY, 0600), 1);
        dup2(open(err.c_str(), O_CREAT | O_WRONLY, 0600), 2);
        execve(argv[0], argv.data(), envp.data());
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(out), slurp(err)};
    std::filesystem::remove_all(folder);
    return outcome;
}

size_t count_lines(const std::string& text) { return static_cast<size_t>(std::ranges::count(text, '\n')); }

}  // namespace mortise::test
