"""Reads pprof's profile.proto without any library, strictly: what a careful client would reject raises an error here.

The rules are those that google/pprof, Parca, Pyroscope and Alloy enforce on a profile before they store it.
"""

import gzip
import struct


class Bad(Exception):
	"""Not a profile that every client accepts."""


def varint(data, at):
	value = shift = 0
	while True:
		if at >= len(data) or shift > 63:
			raise Bad("a varint without end")
		byte = data[at]
		at += 1
		value |= (byte & 0x7F) << shift
		if byte < 0x80:
			return value & (1 << 64) - 1, at
		shift += 7


def signed(value):
	return value - (1 << 64) if value >> 63 else value


def fields(data):
	"""(number, wire type, value) of every field of a message."""
	at = 0
	while at < len(data):
		key, at = varint(data, at)
		number, kind = key >> 3, key & 7
		if kind == 0:
			value, at = varint(data, at)
		elif kind == 1:
			value, at = struct.unpack_from("<Q", data, at)[0], at + 8
		elif kind == 2:
			length, at = varint(data, at)
			if at + length > len(data):
				raise Bad("a field longer than its message")
			value, at = data[at : at + length], at + length
		elif kind == 5:
			value, at = struct.unpack_from("<I", data, at)[0], at + 4
		else:
			raise Bad(f"wire type {kind}")
		yield number, kind, value


def numbers(kind, value):
	"""One or more numbers of a repeated field, packed or not."""
	if kind == 0:
		return [value]
	found, at = [], 0
	while at < len(value):
		n, at = varint(value, at)
		found.append(n)
	return found


class Message:
	def __init__(self, **kw):
		self.__dict__.update(kw)

	def __repr__(self):
		return repr(self.__dict__)


class Profile:
	"""types: [(name, unit)]; samples: .stack (locations, leaf first), .values, .labels; locations: .address .mapping .lines;
	lines: .function .line; functions: .name .system_name .file .start_line; mappings: .start .limit .file .build_id ..."""

	def index(self, name):
		return [t[0] for t in self.types].index(name)

	def total(self, name="inuse_space"):
		i = self.index(name)
		return sum(s.values[i] for s in self.samples)

	def names(self, sample):
		return [l.function.name for loc in sample.stack for l in loc.lines]

	def flat(self, name="inuse_space"):
		"""Function at the leaf -> value."""
		i, sums = self.index(name), {}
		for s in self.samples:
			leaf = s.stack[0].lines[0].function.name
			sums[leaf] = sums.get(leaf, 0) + s.values[i]
		return sums

	def cumulative(self, name="inuse_space"):
		"""Function anywhere in the stack -> value."""
		i, sums = self.index(name), {}
		for s in self.samples:
			for n in set(self.names(s)):
				sums[n] = sums.get(n, 0) + s.values[i]
		return sums

	def key(self, sample):
		"""What Alloy tells samples apart by."""
		return tuple(l.address for l in sample.stack), tuple(sorted(sample.labels.items()))


def decode(raw):
	if raw[:2] != b"\x1f\x8b":
		raise Bad(f"not gzip: {raw[:80]!r}")
	data = gzip.decompress(raw)
	p = Profile()
	p.size = len(data)
	types, samples, mappings, locations, functions, strings = [], [], [], [], [], []
	period_type = None
	p.time_nanos = p.duration_nanos = p.period = default = drop = keep = 0
	comments = []
	for number, kind, value in fields(data):
		if number == 1:
			types.append(dict((n, v) for n, _, v in fields(value)))
		elif number == 2:
			samples.append(list(fields(value)))
		elif number == 3:
			mappings.append(dict((n, v) for n, _, v in fields(value)))
		elif number == 4:
			locations.append(list(fields(value)))
		elif number == 5:
			functions.append(dict((n, v) for n, _, v in fields(value)))
		elif number == 6:
			strings.append(value.decode("utf-8"))   # not UTF-8: an error, as it is for Pyroscope
		elif number == 7:
			drop = value
		elif number == 8:
			keep = value
		elif number == 9:
			if p.time_nanos:
				raise Bad("two times: concatenated profiles")
			p.time_nanos = value
		elif number == 10:
			p.duration_nanos = signed(value)
		elif number == 11:
			period_type = dict((n, v) for n, _, v in fields(value))
		elif number == 12:
			p.period = value
		elif number == 13:
			comments += numbers(kind, value)
		elif number == 14:
			default = value
	if not strings or strings[0] != "":
		raise Bad("the first string is not empty")

	def string(i):
		if i >= len(strings):
			raise Bad(f"string {i} of {len(strings)}")
		return strings[i]

	p.types = [(string(t.get(1, 0)), string(t.get(2, 0))) for t in types]
	p.period_type = (string(period_type.get(1, 0)), string(period_type.get(2, 0))) if period_type else None
	p.default_type, p.comments, p.drop_frames, p.keep_frames = string(default), [string(c) for c in comments], string(drop), string(keep)

	def sequential(rows, what):
		for i, row in enumerate(rows, 1):
			if row.id != i:
				raise Bad(f"{what} {i} has id {row.id}")

	p.mappings = [Message(id=m.get(1, 0), start=m.get(2, 0), limit=m.get(3, 0), offset=m.get(4, 0), file=string(m.get(5, 0)),
		build_id=string(m.get(6, 0)), has_functions=bool(m.get(7, 0)), has_filenames=bool(m.get(8, 0)), has_line_numbers=bool(m.get(9, 0)),
		has_inline_frames=bool(m.get(10, 0))) for m in mappings]
	sequential(p.mappings, "mapping")
	p.functions = [Message(id=f.get(1, 0), name=string(f.get(2, 0)), system_name=string(f.get(3, 0)), file=string(f.get(4, 0)),
		start_line=signed(f.get(5, 0))) for f in functions]
	sequential(p.functions, "function")
	for f in p.functions:
		if not f.name:
			raise Bad(f"function {f.id} has no name")

	p.locations = []
	addresses = set()
	for row in locations:
		loc = Message(id=0, mapping=None, address=0, lines=[])
		for n, _, v in row:
			if n == 1:
				loc.id = v
			elif n == 2:
				if not 1 <= v <= len(p.mappings):
					raise Bad(f"a location in mapping {v} of {len(p.mappings)}")
				loc.mapping = p.mappings[v - 1]
			elif n == 3:
				loc.address = v
			elif n == 4:
				line = dict((a, b) for a, _, b in fields(v))
				if not 1 <= line.get(1, 0) <= len(p.functions):
					raise Bad(f"a line of function {line.get(1, 0)} of {len(p.functions)}")
				loc.lines.append(Message(function=p.functions[line[1] - 1], line=signed(line.get(2, 0))))
		if not loc.lines:
			raise Bad(f"location {loc.id} has no line")
		if not loc.address or loc.address in addresses:
			raise Bad(f"location {loc.id}: address {loc.address:#x} is 0 or not its own")
		addresses.add(loc.address)
		p.locations.append(loc)
	sequential(p.locations, "location")

	p.samples = []
	for row in samples:
		s = Message(stack=[], values=[], labels={})
		for n, kind, v in row:
			if n == 1:
				for i in numbers(kind, v):
					if not 1 <= i <= len(p.locations):
						raise Bad(f"a sample at location {i} of {len(p.locations)}")
					s.stack.append(p.locations[i - 1])
			elif n == 2:
				s.values += [signed(x) for x in numbers(kind, v)]
			elif n == 3:
				label = dict((a, b) for a, _, b in fields(v))
				key = string(label.get(1, 0))
				if not key or key in s.labels:
					raise Bad(f"label {key!r} is empty or twice")
				s.labels[key] = string(label[2]) if 2 in label else signed(label.get(3, 0))
		if len(s.values) != len(p.types):
			raise Bad(f"{len(s.values)} values for {len(p.types)} types")
		if not s.stack:
			raise Bad("a sample without stack")
		p.samples.append(s)
	return p
