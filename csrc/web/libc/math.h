#ifndef ST_WEB_MATH_H
#define ST_WEB_MATH_H

#define INFINITY __builtin_inff()
#define isnan(x) __builtin_isnan(x)
#define isfinite(x) __builtin_isfinite(x)

/* Instructions of WebAssembly, exact as IEEE 754 has them. */
static inline double fabs(double x) { return __builtin_fabs(x); }
static inline double ceil(double x) { return __builtin_ceil(x); }
static inline double nearbyint(double x) { return __builtin_nearbyint(x); }
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
static inline double fmax(double x, double y) { return x > y || y != y ? x : y; }
double ldexp(double x, int exponent);

#endif
