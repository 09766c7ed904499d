// The same in C++17: classify_cxx TICKET.ste FILE
#include <spiketicket.hpp>

#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>

int main(int count, char **arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: %s TICKET.ste FILE\n", arguments[0]);
        return 2;
    }
    try {
        const spiketicket::Model model(arguments[1]);
        std::ifstream file(arguments[2], std::ios::binary);
        const std::vector<std::uint8_t> x{std::istreambuf_iterator<char>(file), {}};
        std::printf("%s", model.class_name(model.classify(x)).data());
        for (const float logit : model.run(x)) std::printf(" %.9g", logit);
        std::printf("\n");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
    return 0;
}
