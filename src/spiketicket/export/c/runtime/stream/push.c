
void @NAME@_push(const @NAME@_event *events, size_t count)
{
    const uint32_t high = @UPPER@_HEIGHT, wide = @UPPER@_WIDTH;
    for (size_t i = 0; i < count; i++) {
        const @NAME@_event *e = &events[i];
        uint32_t row, column;
        size_t at;
        if (e->x >= @UPPER@_SENSOR_WIDTH || e->y >= @UPPER@_SENSOR_HEIGHT) continue;
        row = e->y * high / @UPPER@_SENSOR_HEIGHT;
        column = e->x * wide / @UPPER@_SENSOR_WIDTH;
        at = ((size_t)(@MERGE@ ? 0u : e->polarity ? 1u : 0u) * high + row) * wide + column;
#if @BINARY@
        frame[at] = 1;
#else
        if (frame[at] < 255) frame[at]++; /* a pixel counts at most so many in one frame */
#endif
    }
    shown = 1;
}
