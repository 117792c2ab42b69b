/* A histogram with 128 steps for each power of two, so a value is at most 0.8 % off. */

#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { FINE = 7, BUCKETS = 58 << FINE };

struct histogram {
    uint64_t count, sum, most, buckets[BUCKETS];
};

static void record(struct histogram *histogram, uint64_t value) {
    int shift = 63 - __builtin_clzll(value | 1) - FINE;
    uint64_t bucket = shift > 0 ? ((uint64_t)shift << FINE) + (value >> shift) : value;
    histogram->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->most) histogram->most = value;
}

static double percentile(const struct histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->count + 0.999999), seen = 0;
    for (uint64_t bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (!histogram->buckets[bucket] || seen < rank) continue;
        uint64_t shift = bucket >> FINE;
        if (shift <= 1) return (double)bucket;
        double width = (double)(1ull << (shift - 1));
        return ((double)(bucket - ((shift - 1) << FINE)) + 0.5) * width;
    }
    return 0;
}

static void print_histogram(const char *name, const struct histogram *histogram) {
    printf("\"%s\":{\"count\":%llu,\"mean\":%.1f,\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
        (unsigned long long)histogram->count, histogram->count ? (double)histogram->sum / (double)histogram->count / 1e3 : 0.0,
        percentile(histogram, 0.5) / 1e3, percentile(histogram, 0.95) / 1e3, percentile(histogram, 0.99) / 1e3,
        percentile(histogram, 0.999) / 1e3, (double)histogram->most / 1e3);
}

#endif
