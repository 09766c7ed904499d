/* C++17: a ticket as an object. Errors are std::runtime_error with the reason in one line. */
#ifndef SPIKETICKET_HPP
#define SPIKETICKET_HPP

#include "spiketicket.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace spiketicket {

class Model {
  public:
    /* `level` and `flags` are those of st_load: ST_BEST, and ST_LATENCY or 0. */
    explicit Model(const std::string &path, int level = ST_BEST, unsigned flags = 0)
        : model_(nullptr, st_close) {
        std::array<char, 256> error{};
        model_.reset(st_open(path.c_str(), level, flags, error.data(), error.size()));
        if (!model_) throw std::runtime_error(path + ": " + error.data());
    }

    st_shape shape() const { return st_model_shape(model_.get()); }
    /* Values of one input, [frames][channels][height][width]. */
    std::size_t values() const { return st_model_values(model_.get()); }
    std::string_view class_name(std::uint32_t index) const {
        const char *name = st_class_name(model_.get(), index);
        if (!name) throw std::out_of_range("there is no such class");
        return name;
    }

    /* Logits [n][classes] of n inputs, of bytes or floats, on so many threads. */
    std::vector<float> run(const std::vector<std::uint8_t> &x, int threads = 1) const {
        return run_with(st_run_u8, x, threads);
    }
    std::vector<float> run(const std::vector<float> &x, int threads = 1) const {
        return run_with(st_run, x, threads);
    }
    /* The class of the largest logit of one input. */
    std::uint32_t classify(const std::vector<std::uint8_t> &x) const {
        if (x.size() != values()) throw std::invalid_argument("an input of another size");
        const auto logits = run(x);
        const auto best = std::max_element(logits.begin(), logits.end());
        return static_cast<std::uint32_t>(best - logits.begin());
    }

  private:
    template <class Run, class Value>
    std::vector<float> run_with(Run run, const std::vector<Value> &x, int threads) const {
        if (x.empty() || x.size() % values()) throw std::invalid_argument("inputs of another size");
        const auto count = x.size() / values();
        std::vector<float> logits(count * shape().classes);
        std::array<char, 256> error{};
        if (run(st_model_net(model_.get()), x.data(), static_cast<std::int64_t>(count),
                logits.data(), threads, error.data(), error.size()))
            throw std::runtime_error(error.data());
        return logits;
    }

    std::unique_ptr<st_model, decltype(&st_close)> model_;
};

} // namespace spiketicket
#endif
