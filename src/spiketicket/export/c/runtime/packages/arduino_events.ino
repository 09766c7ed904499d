// Events from the serial port, five bytes each: column and row, low byte first, and polarity.
// Every frame of 10 ms is one time step; membranes are carried on.
#include <@NAME@.hpp>

static @NAME@_stream net;
static unsigned long nextStep = 0;
static const unsigned long stepUs = @UPPER@_STEP_US ? @UPPER@_STEP_US : 10000;

void setup() {
  Serial.begin(1000000);
  nextStep = micros() + stepUs;
}

void loop() {
  while (Serial.available() >= 5) {
    unsigned char b[5];
    for (int i = 0; i < 5; i++) b[i] = (unsigned char)Serial.read();
    @NAME@_event event;
    event.x = (uint16_t)(b[0] | b[1] << 8);
    event.y = (uint16_t)(b[2] | b[3] << 8);
    event.polarity = b[4];
    net.push(&event, 1);
  }
  if ((long)(micros() - nextStep) < 0) return;
  nextStep += stepUs;
  const @NAME@_answer answer = net.step();
  if (!answer.decided && answer.steps % @UPPER@_STEPS) return;
  Serial.println(answer.name());
  net.restart_mean();
}
