/* bearing: emitted for cortex-m4; do not edit, emit again. Model b8563c0658dd2a78. */
#include "model.h"

#include "kernels/edge_arithmetic.h"
#include "kernels/edge_kernels.h"

/* Define EDGE_STEP(operator) to watch the operators as they start, for instance to count cycles. */
#ifndef EDGE_STEP
#define EDGE_STEP(operator)
#endif

/* weights: unit, input */
static const int8_t weights_0[32] EDGE_ALIGN4 = {
  90, 80, 60, 20, 0, 0, 0, 0, -90, -80, -60, -20, 0, 0, 0, 0, 0, 0, 20, 60, 90, 40, 10, 0,
  0, 0, -20, -60, -90, -40, -10, 0
};

/* bias */
static const int32_t bias_0[4] EDGE_ALIGN4 = {
  8200, -7600, 6940, -6740
};

/* multiplier */
static const int32_t multiplier_0[1] EDGE_ALIGN4 = {
  1374389504
};

/* shift */
static const int8_t shift_0[1] EDGE_ALIGN4 = {
  -7
};

/* weights: unit, input */
static const int8_t weights_1[8] EDGE_ALIGN4 = {
  70, -90, -50, 60, -70, 90, 50, -60
};

/* bias */
static const int32_t bias_1[2] EDGE_ALIGN4 = {
  -1780, 1780
};

/* multiplier */
static const int32_t multiplier_1[1] EDGE_ALIGN4 = {
  1374389504
};

/* shift */
static const int8_t shift_1[1] EDGE_ALIGN4 = {
  -5
};

/* exponentials: exp of minus the index times scale and beta, Q0.31 */
static const int32_t exponentials_2[249] EDGE_ALIGN4 = {
  2147483647, 2017374176, 1895147668, 1780326490, 1672462419, 1571132588, 1475942488, 1386519665, 1302515042, 1223599290, 1149465166, 1079822601, 1014399735, 952940085, 895204371, 840966687, 790015308, 742150484, 697185865, 654945514, 615264540, 577987378, 542968897, 510072079,
  479168506, 450137023, 422864603, 397244535, 373176807, 350567066, 329327284, 309374355, 290630390, 273021906, 256480347, 240940990, 226343175, 212629674, 199747095, 187645032, 176276242, 165596157, 155563194, 146138098, 137284076, 128966416, 121152737, 113812465,
  106916946, 100439146, 94353847, 88637237, 83267001, 78222086, 73482850, 69030749, 64848406, 60919422, 57228501, 53761202, 50503989, 47444093, 44569601, 41869266, 39332546, 36949497, 34710840, 32607817, 30632218, 28776297, 27032830, 25394993,
  23856395, 22411003, 21053189, 19777641, 18579379, 17453706, 16396240, 15402842, 14469635, 13592960, 12769405, 11995746, 11268963, 10586208, 9944822, 9342296, 8776277, 8244547, 7745035, 7275787, 6834972, 6420860, 6031840, 5666389,
  5323081, 5000571, 4697601, 4412988, 4145620, 3894448, 3658496, 3436839, 3228612, 3032999, 2849239, 2676613, 2514446, 2362102, 2218990, 2084548, 1958252, 1839607, 1728151, 1623448, 1525088, 1432687, 1345885, 1264342,
  1187740, 1115778, 1048177, 984671, 925013, 868969, 816321, 766862, 720401, 676754, 635752, 597233, 561049, 527057, 495124, 465126, 436945, 410472, 385603, 362240, 340293, 319676, 300308, 282113,
  265021, 248964, 233880, 219710, 206398, 193893, 182146, 171110, 160743, 151004, 141855, 133261, 125187, 117602, 110477, 103784, 97496, 91589, 86040, 80827, 75930, 71329, 67008, 62948,
  59134, 55551, 52186, 49024, 46054, 43263, 40642, 38180, 35867, 33694, 31652, 29735, 27933, 26241, 24651, 23157, 21754, 20436, 19198, 18035, 16942, 15916, 14951, 14046,
  13195, 12395, 11644, 10939, 10276, 9653, 9069, 8519, 8003, 7518, 7063, 6635, 6233, 5855, 5500, 5167, 4854, 4560, 4284, 4024, 3780, 3551, 3336, 3134,
  2944, 2766, 2598, 2441, 2293, 2154, 2023, 1901, 1786, 1678, 1576, 1480, 1391, 1306, 1227, 1153, 1083, 1017, 956, 898, 844, 792, 744, 699,
  657, 617, 580, 545, 512, 481, 451, 424, 398
};

/* operator 0 */
static const struct edge_fully_connected p0 = {
  .weights = weights_0,
  .out = {
    .bias = bias_0, .multiplier = multiplier_0, .shift = shift_0, .channel_step = 0, .fast = 2,
    .output_zero_point = -128, .low = -128, .high = 127
  },
  .weight_stride = 8, .rows = 1, .depth = 8, .units = 4
};

/* operator 1 */
static const struct edge_fully_connected p1 = {
  .weights = weights_1,
  .out = {
    .bias = bias_1, .multiplier = multiplier_1, .shift = shift_1, .channel_step = 0, .fast = 2,
    .output_zero_point = 0, .low = -128, .high = 127
  },
  .weight_stride = 4, .rows = 1, .depth = 4, .units = 2
};

/* operator 2 */
static const struct edge_softmax p2 = {
  .exponential = exponentials_2, .largest_difference = 248, .rows = 1, .depth = 2
};

int32_t bearing_bytes(void) { return BEARING_ARENA_BYTES + BEARING_STATE_BYTES; }

int32_t bearing_reset(void *state) {
  (void)state;
  return BEARING_OK;
}

int32_t bearing_invoke(void *arena_memory, void *state_memory) {
  uint8_t *arena = (uint8_t *)arena_memory;
  if (arena == 0) { return BEARING_ERROR_NULL; }
  (void)state_memory;
  if (((uintptr_t)arena) % BEARING_ALIGN != 0u) { return BEARING_ERROR_ALIGNMENT; }
  EDGE_STEP(0) /* FULLY_CONNECTED */
  edge_k1_fully_connected_s8(&p0, (const int8_t *)(void *)(arena + 0), (int8_t *)(void *)(arena + 8));
  EDGE_STEP(1) /* FULLY_CONNECTED */
  edge_k1_fully_connected_s8(&p1, (const int8_t *)(void *)(arena + 8), (int8_t *)(void *)(arena + 0));
  EDGE_STEP(2) /* SOFTMAX */
  edge_k1_softmax_s8(&p2, (const int8_t *)(void *)(arena + 0), (int8_t *)(void *)(arena + 0));
  return BEARING_OK;
}
