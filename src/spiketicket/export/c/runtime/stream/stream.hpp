// @NAME@ in C++17: one time step after the other. No exceptions, no heap.
#ifndef @UPPER@_HPP
#define @UPPER@_HPP

#include "@NAME@.h"

#include <array>
#include <cstddef>
#include <cstdint>

// What one step gives.
struct @NAME@_answer {
    std::array<float, @UPPER@_CLASSES> logits{};
    std::uint32_t steps = 0; // since the reset
    int best = 0;
    bool decided = false; // the best class leads by the margin

    const char *name() const noexcept { return @NAME@_class_names[best]; }
};

// The network, at rest when it is made. Its buffers are static: there is one at a time.
class @NAME@_stream {
public:
    @NAME@_stream() noexcept { @NAME@_reset(); }
    @NAME@_stream(const @NAME@_stream &) = delete;
    @NAME@_stream &operator=(const @NAME@_stream &) = delete;
    ~@NAME@_stream() { @NAME@_reset(); }

    void reset() noexcept { @NAME@_reset(); }
    void restart_mean() noexcept { @NAME@_restart_mean(); }
    void show(const @RAW@ *frame) noexcept { @NAME@_show(frame); }
#if @EVENTS@
    void push(const @NAME@_event *events, std::size_t count) noexcept
    {
        @NAME@_push(events, count);
    }
    template <typename Events> void push(const Events &events) noexcept
    {
        @NAME@_push(events.data(), events.size());
    }
#endif
    [[nodiscard]] @NAME@_answer step() noexcept
    {
        @NAME@_answer found;
        found.steps = @NAME@_step(found.logits.data());
        found.best = @NAME@_best(found.logits.data());
        found.decided = @NAME@_decided(found.logits.data()) != 0;
        return found;
    }
};

#endif
