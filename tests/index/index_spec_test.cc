#include "index/index_spec.h"

#include "tests/index/support.h"

namespace annulus {
namespace {

using testing::expect_error;
using testing::make_spec;

TEST(IndexSpec, SaysWhatEachSupportedFactoryStringMeans) {
  struct Case {
    std::string factory;
    IndexFamily family;
    Coding coding;
    int m;
    std::size_t nlist;
    int quantizer_m;
    int pq_m;
    bool trained;
    std::size_t samples;
  };
  const std::vector<Case> cases = {
      {"Flat", IndexFamily::kFlat, Coding::kFloat, 0, 0, 0, 0, false, 0},
      {"HNSW16", IndexFamily::kHnsw, Coding::kFloat, 16, 0, 0, 0, false, 0},
      {"HNSW32,SQ8", IndexFamily::kHnsw, Coding::kSq8, 32, 0, 0, 0, true, 1},
      {"IVF100,Flat", IndexFamily::kIvf, Coding::kFloat, 0, 100, 0, 0, true, 100},
      {"IVF100,SQ8", IndexFamily::kIvf, Coding::kSq8, 0, 100, 0, 0, true, 100},
      {"IVF100,PQ16", IndexFamily::kIvf, Coding::kPq, 0, 100, 0, 16, true, 256},
      {"IVF1000_HNSW12,Flat", IndexFamily::kIvf, Coding::kFloat, 0, 1000, 12, 0, true, 1000},
      {"IVF1000_HNSW12,SQ8", IndexFamily::kIvf, Coding::kSq8, 0, 1000, 12, 0, true, 1000},
      {"IVF1000_HNSW12,PQ8", IndexFamily::kIvf, Coding::kPq, 0, 1000, 12, 8, true, 1000},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.factory);
    const IndexSpec spec = make_spec(c.factory, Metric::kL2, 32);
    const ParsedSpec parsed = parse_spec(spec);
    EXPECT_EQ(parsed.family, c.family);
    EXPECT_EQ(parsed.coding, c.coding);
    EXPECT_EQ(parsed.m, c.m);
    EXPECT_EQ(parsed.nlist, c.nlist);
    EXPECT_EQ(parsed.quantizer_m, c.quantizer_m);
    EXPECT_EQ(parsed.pq_m, c.pq_m);
    EXPECT_EQ(needs_training(spec), c.trained);
    EXPECT_EQ(min_training_samples(spec), c.samples);
  }
}

TEST(IndexSpec, RefusesEveryOtherFactoryStringByNameAndListsTheSupportedOnes) {
  for (const char* factory : {"",
                              "flat",
                              "Flat,",
                              " Flat",
                              "HNSW",
                              "HNSWx",
                              "HNSW-4",
                              "HNSW16,Flat",
                              "HNSW16,SQ8,",
                              "HNSW16,PQ8",
                              "HNSW16_2x8",
                              "IVF10",
                              "IVF10,",
                              "IVF,Flat",
                              "IVF10,SQ4",
                              "IVF10,PQ8x4",
                              "IVF10,PQ8x4fs",
                              "IVF10,PQ8+16",
                              "IVF10_HNSW,Flat",
                              "IVF10_HNSW8",
                              "IVF10,Flat,RFlat",
                              "PCA8,Flat",
                              "NSG32",
                              "LSH",
                              "SQ8",
                              "PQ8",
                              "IVF10,PQ",
                              "IDMap,Flat",
                              "OPQ8,IVF10,PQ8"}) {
    SCOPED_TRACE(factory);
    expect_error(ErrorCode::kUnimplemented, {"\"" + std::string(factory) + "\"", "HNSW<M>,SQ8", "IVF<n>,PQ<m>"},
                 [&] { parse_spec(make_spec(factory, Metric::kL2, 32)); });
  }
}

TEST(IndexSpec, RefusesNumbersOutOfBounds) {
  const auto refuse = [](const std::string& factory, std::size_t d, const std::vector<std::string>& parts) {
    SCOPED_TRACE(factory);
    expect_error(ErrorCode::kInvalidArgument, parts, [&] { parse_spec(make_spec(factory, Metric::kL2, d)); });
  };
  refuse("Flat", 0, {"dimension is 0", "1 to 65536"});
  refuse("Flat", 65537, {"65537"});
  refuse("HNSW1", 8, {"M", "is 1,", "2 to 256"});
  refuse("HNSW257", 8, {"257"});
  refuse("HNSW99999999999999999999", 8, {"2 to 256"});
  refuse("IVF0,Flat", 8, {"is 0,"});
  refuse("IVF1048577,Flat", 8, {"1048577"});
  refuse("IVF8_HNSW1,Flat", 8, {"is 1,"});
  refuse("IVF8,PQ0", 8, {"is 0,"});
  refuse("IVF8,PQ16", 8, {"16"});
  refuse("IVF8,PQ3", 8, {"PQ3", "divide", "8"});
  EXPECT_NO_THROW(parse_spec(make_spec("Flat", Metric::kL2, kMaxDimension)));
}

TEST(IndexSpec, RefusesSearchDefaultsThatAreNotPositive) {
  IndexSpec spec = make_spec("Flat", Metric::kL2, 4);
  spec.ef = 0;
  expect_error(ErrorCode::kInvalidArgument, {"ef is 0"}, [&] { parse_spec(spec); });
  spec.ef = 1;
  spec.nprobe = -3;
  expect_error(ErrorCode::kInvalidArgument, {"nprobe is -3"}, [&] { parse_spec(spec); });
  spec.nprobe = 1;
  spec.ef_construction = 0;
  expect_error(ErrorCode::kInvalidArgument, {"ef_construction is 0"}, [&] { parse_spec(spec); });
  spec.ef_construction = 1;
  spec.metric = static_cast<Metric>(3);
  expect_error(ErrorCode::kInvalidArgument, {"metric", "3"}, [&] { parse_spec(spec); });
}

TEST(IndexSpec, NamesMetricsThereAndBack) {
  for (const Metric metric : {Metric::kL2, Metric::kInnerProduct, Metric::kCosine})
    EXPECT_EQ(parse_metric(to_string(metric)), metric);
  EXPECT_EQ(to_string(Metric::kInnerProduct), "ip");
  expect_error(ErrorCode::kInvalidArgument, {"\"hamming\"", "l2, ip or cosine"}, [] { parse_metric("hamming"); });
}

}  // namespace
}  // namespace annulus
