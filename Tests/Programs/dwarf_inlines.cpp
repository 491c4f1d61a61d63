// SPDX-License-Identifier: Apache-2.0
// Much inlining, for the tests of the DWARF reader: templates, lambdas, and the standard library.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

namespace shapes {

struct Shape {
	virtual ~Shape() = default;
	virtual double area() const = 0;
	std::string name;
};

template <int Sides> struct Polygon : Shape {
	explicit Polygon(double size) : size(size) { name = "polygon" + std::to_string(Sides); }
	double area() const override { return scale(size) * Sides / 4; }

private:
	static inline double scale(double value) { return square(value) + offset(value); }
	static inline double square(double value) { return value * value; }
	static inline double offset(double value)
	{
		double sum = 0;
		for (int i = 0; i < Sides; i++)
			sum += value / (i + 1);
		return sum;
	}
	double size;
};

std::vector<std::unique_ptr<Shape>> make(int count)
{
	std::vector<std::unique_ptr<Shape>> shapes;
	for (int i = 0; i < count; i++) {
		switch (i % 4) {
		case 0: shapes.push_back(std::make_unique<Polygon<3>>(i)); break;
		case 1: shapes.push_back(std::make_unique<Polygon<4>>(i)); break;
		case 2: shapes.push_back(std::make_unique<Polygon<5>>(i)); break;
		default: shapes.push_back(std::make_unique<Polygon<17>>(i)); break;
		}
	}
	return shapes;
}

} // namespace shapes

namespace {

template <typename Key> class Counter {
public:
	void add(const Key &key) { counts[key]++; }
	std::vector<std::pair<Key, int>> sorted() const
	{
		std::vector<std::pair<Key, int>> result(counts.begin(), counts.end());
		std::sort(result.begin(), result.end(), [](const auto &a, const auto &b) {
			return a.second != b.second ? a.second > b.second : a.first < b.first;
		});
		return result;
	}

private:
	std::unordered_map<Key, int> counts;
};

__attribute__((noinline)) int fail(int code)
{
	if (code > 1000)
		throw std::string("too large");
	return code;
}

inline int checked(int code)
{
	try {
		return fail(code);
	} catch (const std::string &) {
		return -1;
	}
}

} // namespace

extern "C" int collatz(unsigned long value)
{
	int steps = 0;
	auto step = [&](unsigned long n) {
		steps++;
		return n % 2 ? 3 * n + 1 : n / 2;
	};
	while (value > 1)
		value = step(value);
	return steps;
}

int main(int count, char **words)
{
	auto all = shapes::make(count * 20);
	Counter<std::string> names;
	Counter<int> lengths;
	std::map<std::string, double> areas;
	for (const auto &shape : all) {
		names.add(shape->name);
		lengths.add(collatz(shape->name.size() * 27));
		areas[shape->name] += shape->area();
	}
	for (int i = 0; i < count; i++)
		names.add(words[i]);
	for (const auto &[name, times] : names.sorted())
		std::printf("%s %d %f\n", name.c_str(), times, areas[name]);
	auto sorted = lengths.sorted();
	int sum = std::accumulate(sorted.begin(), sorted.end(), 0,
				  [](int value, const auto &pair) { return value + pair.first; });
	return checked(sum) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
