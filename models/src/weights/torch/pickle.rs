//! A pickle interpreter that can build nothing but tensors and the containers they come in.
//!
//! It knows the opcodes that `torch.save` emits and the globals of [`Global`]; any other global is
//! an error, or, in checkpoints that trainers leave, an object that stands for nothing, so no file can
//! make it run or create anything else. Every opcode adds at most one
//! object of a few words, so [`MAX_BYTES`] and [`MAX_OBJECTS`] bound the memory.

use std::collections::HashMap;

use super::{
    TorchError,
    input::Input,
    objects::{Foreign, Global, Index, Object, Objects},
};

/// The longest pickle that is read; that of Stable Diffusion's UNet has 138 KB.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// The most objects, of which a tensor needs about 25; also the most memo slots.
const MAX_OBJECTS: usize = 1 << 19;

/// What one pickle made.
#[derive(Debug)]
pub(super) struct Pickle {
    pub objects: Objects,
    pub root: Index,
    /// The bytes up to and including the stop opcode.
    pub length: usize,
}

/// Runs one pickle from the start of `bytes`.
pub(super) fn load(bytes: &[u8], foreign: Foreign) -> Result<Pickle, TorchError> {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let mut machine = Machine { input: Input::new(bytes), foreign, ..Machine::default() };
    loop {
        let [opcode] = machine.input.array()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            let length = bytes.len() - machine.input.len();
            return Ok(Pickle { objects: machine.objects, root, length });
        }
        machine.step(opcode)?;
        if machine.objects.len().max(machine.memo.len()) > MAX_OBJECTS {
            return Err(TorchError::Pickle("it holds too many objects"));
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    input: Input<'a>,
    foreign: Foreign,
    objects: Objects,
    stack: Vec<Index>,
    marks: Vec<usize>,
    memo: HashMap<u32, Index>,
}

impl Machine<'_> {
    /// Runs one opcode; the names behind a byte are those of Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), TorchError> {
        match opcode {
            0x80 => drop(self.input.take(1)?), // PROTO
            0x95 => drop(self.input.take(8)?), // FRAME
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'N' => self.push(Object::None),
            0x88 | 0x89 => self.push(Object::Boolean(opcode == 0x88)), // NEWTRUE, NEWFALSE
            b'G' => {
                self.input.take(8)?;
                self.push(Object::Ignored);
            }
            b'K' => {
                let value = u8::from_le_bytes(self.input.array()?);
                self.push(Object::Integer(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.input.array()?);
                self.push(Object::Integer(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.input.array()?);
                self.push(Object::Integer(value.into()));
            }
            // LONG1
            0x8a => {
                let value = self.long()?;
                self.push(value);
            }
            b'X' | b'T' => {
                let length = u32::from_le_bytes(self.input.array()?);
                self.text(length as usize)?;
            }
            // SHORT_BINUNICODE, SHORT_BINSTRING
            0x8c | b'U' => {
                let [length] = self.input.array()?;
                self.text(length.into())?;
            }
            b')' => self.push(Object::Tuple(Vec::new())),
            // TUPLE1, TUPLE2, TUPLE3
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Object::Tuple(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Object::Tuple(items));
            }
            b']' | 0x8f => self.push(Object::List(Vec::new())), // also EMPTY_SET
            b'}' => self.push(Object::Dict(Vec::new())),
            b'a' | b's' => {
                let items = self.pop_many(if opcode == b'a' { 1 } else { 2 })?;
                self.extend(&items)?;
            }
            // APPENDS, SETITEMS, ADDITEMS
            b'e' | b'u' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            b'q' => {
                let [slot] = self.input.array()?;
                self.memoize(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?, // MEMOIZE
            b'h' => {
                let [slot] = self.input.array()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let global = Global::named(module, name, self.foreign)?;
                self.push(Object::Global(global));
            }
            // STACK_GLOBAL
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) =
                    (self.objects.text(module), self.objects.text(name))
                else {
                    return Err(TorchError::Pickle("a global without a name"));
                };
                let global = Global::named(module, name, self.foreign)?;
                self.push(Object::Global(global));
            }
            b'Q' => {
                let id = self.pop()?;
                let object = self.objects.persistent(id)?;
                self.stack.push(object);
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.objects.call(callable, arguments)?;
                self.stack.push(made);
            }
            b'b' => {
                let attributes = self.pop()?;
                let target = self.top()?;
                match self.objects.get_mut(target) {
                    Object::ParameterDict(slot) => *slot = Some(attributes),
                    // The attributes of an `OrderedDict` are metadata.
                    Object::Dict(_) => {}
                    Object::Ignored => {}
                    _ => return Err(TorchError::Pickle("attributes of an object without any")),
                }
            }
            _ => return Err(TorchError::Pickle("an opcode that `torch.save` does not write")),
        }
        Ok(())
    }

    fn long(&mut self) -> Result<Object, TorchError> {
        let [length] = self.input.array()?;
        let bytes = self.input.take(length.into())?;
        // Little-endian two's complement of any length: fill up with the sign.
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut value = [if negative { 0xff } else { 0 }; 8];
        // No size or offset is longer.
        let Some(low) = value.get_mut(..bytes.len()) else { return Ok(Object::Ignored) };
        low.copy_from_slice(bytes);
        Ok(Object::Integer(i64::from_le_bytes(value)))
    }

    fn text(&mut self, length: usize) -> Result<(), TorchError> {
        let text = self.input.text(length)?;
        self.push(Object::Text(text.into()));
        Ok(())
    }

    fn push(&mut self, object: Object) {
        let index = self.objects.add(object);
        self.stack.push(index);
    }

    fn pop(&mut self) -> Result<Index, TorchError> {
        self.stack.pop().ok_or(EMPTY_STACK)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Index>, TorchError> {
        let start = self.stack.len().checked_sub(count).ok_or(EMPTY_STACK)?;
        Ok(self.stack.split_off(start))
    }

    fn pop_mark(&mut self) -> Result<Vec<Index>, TorchError> {
        let start = self.marks.pop().ok_or(EMPTY_STACK)?;
        self.pop_many(self.stack.len().checked_sub(start).ok_or(EMPTY_STACK)?)
    }

    fn top(&self) -> Result<Index, TorchError> {
        self.stack.last().copied().ok_or(EMPTY_STACK)
    }

    /// Adds `items` to the list, or as keys and values to the dictionary, on top of the stack.
    fn extend(&mut self, items: &[Index]) -> Result<(), TorchError> {
        let target = self.top()?;
        match (self.objects.get_mut(target), items.as_chunks()) {
            (Object::List(list), _) => list.extend(items),
            (Object::Dict(pairs), (new, [])) => {
                pairs.extend(new.iter().map(|[key, value]| (*key, *value)));
            }
            (Object::Ignored, _) => {}
            _ => return Err(TorchError::Pickle("items for something that holds none")),
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u32) -> Result<(), TorchError> {
        self.memo.insert(slot, self.top()?);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), TorchError> {
        let index = self.memo.get(&slot).ok_or(TorchError::Pickle("an unknown memo"))?;
        self.stack.push(*index);
        Ok(())
    }
}

const EMPTY_STACK: TorchError = TorchError::Pickle("its stack is empty");

#[cfg(test)]
mod tests {
    use super::{super::objects::last_of_each, *};

    fn problem(bytes: &[u8]) -> TorchError {
        load(bytes, Foreign::Refused).expect_err("a pickle that is refused")
    }

    #[test]
    fn integers_of_every_opcode_keep_their_value_and_sign() {
        let cases: [(&[u8], i64); 6] = [
            (b"K\xff.", 255),
            (b"M\x01\x02.", 513),
            (b"J\xfe\xff\xff\xff.", -2),
            (b"\x8a\x00.", 0),
            (b"\x8a\x02\x00\x80.", -32768),
            (b"\x8a\x08\0\0\0\0\0\0\0\x80.", i64::MIN),
        ];
        for (bytes, want) in cases {
            let pickle = load(bytes, Foreign::Refused).unwrap();
            let got = pickle.objects.get(pickle.root);
            assert!(matches!(got, Object::Integer(value) if *value == want), "{got:?}");
            assert_eq!(pickle.length, bytes.len());
        }
    }

    #[test]
    fn a_dictionary_keeps_the_last_of_equal_keys() {
        let pickle =
            load(b"}(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u\x8c\x01bK\x03s.", Foreign::Refused)
                .unwrap();
        let entries = pickle.objects.entries(pickle.root);
        assert_eq!(entries.len(), 2);
        assert_eq!(pickle.objects.size(entries["a"]), Some(2));
        assert_eq!(pickle.objects.size(entries["b"]), Some(3));
    }

    #[test]
    fn a_foreign_global_is_named_and_not_run() {
        for bytes in
            [&b"cposix\nsystem\n(X\x02\0\0\0lstR."[..], b"\x8c\x05posix\x8c\x06system\x93)R."]
        {
            let problem = problem(bytes);
            assert!(matches!(&problem, TorchError::ForeignGlobal(name) if name == "posix.system"));
        }
    }

    #[test]
    fn a_foreign_object_of_a_checkpoint_stands_for_nothing() {
        // {"a": lightning.Callback(state 1), lightning.Callback: 2, "b": 3}
        let bytes = b"}(X\x01\0\0\0aclightning\nCallback\n)RK\x01bclightning\nCallback\nK\x02X\x01\0\0\0bK\x03u.";
        let pickle = load(bytes, Foreign::Skipped).unwrap();
        let entries = pickle.objects.entries(pickle.root);
        assert!(matches!(pickle.objects.get(entries["a"]), Object::Ignored));
        assert_eq!(pickle.objects.size(entries["b"]), Some(3));
        assert!(matches!(problem(bytes), TorchError::ForeignGlobal(_)));
    }

    #[test]
    fn a_deep_or_cyclic_pickle_neither_overflows_nor_hangs() {
        let mut deep = b"]".repeat(MAX_OBJECTS);
        deep.extend(b"a".repeat(MAX_OBJECTS - 1));
        deep.push(b'.');
        assert!(load(&deep, Foreign::Refused).is_ok());
        // A dictionary that holds itself, and attributes that are their own owner.
        let cyclic = load(b"}q\0X\x01\0\0\0ah\0s.", Foreign::Refused).unwrap();
        assert_eq!(cyclic.objects.entries(cyclic.root)["a"], cyclic.root);
        let own =
            load(b"ctorch.nn.modules.container\nParameterDict\n)\x81q\0h\0b.", Foreign::Refused)
                .unwrap();
        assert!(own.objects.entries(own.root).is_empty());
    }

    #[test]
    fn a_key_that_is_called_for_again_and_again_is_looked_at_once() {
        // with two keys of the same letter
        let start = b"X\x01\0\0\0aq\0X\x01\0\0\0aq\x01Nq\x02K\x07q\x03}(";
        let pairs = [&b"h\0h\x02".repeat(1000)[..], b"h\x01h\x02h\0h\x03"].concat();
        let pickle = load(&[&start[..], &pairs, b"u."].concat(), Foreign::Refused).unwrap();
        let Object::Dict(pairs) = pickle.objects.get(pickle.root) else { panic!("a dictionary") };
        assert_eq!((pairs.len(), last_of_each(pairs).count()), (1002, 2));
        let entries = pickle.objects.entries(pickle.root);
        assert_eq!(entries.len(), 1);
        assert_eq!(pickle.objects.size(entries["a"]), Some(7), "the last");
    }

    #[test]
    fn a_pickle_that_never_stops_ends_at_the_limit() {
        let endless = |start: &[u8], opcode: &[u8]| {
            let TorchError::Pickle(reason) = problem(&[start, &opcode.repeat(MAX_BYTES)].concat())
            else {
                panic!("not a problem of the pickle");
            };
            reason
        };
        for (start, objects) in [(&b""[..], &b"N"[..]), (b"", b"}"), (b"", b"K\0"), (b"N", b"\x94")]
        {
            assert_eq!(endless(start, objects), "it holds too many objects");
        }
        for (start, words) in [(&b""[..], &b"("[..]), (b"Nq\0", b"h\0"), (b"]q\0", b"h\0a")] {
            assert_eq!(endless(start, words), "it ends too early");
        }
    }

    #[test]
    fn a_stack_that_is_used_up_is_an_error() {
        for bytes in [&b"."[..], b"0", b"t", b"N(0t", b"Na", b"Nq", b"h\0", b"\x85", b"NNs", b"NNR"]
        {
            problem(bytes);
        }
    }
}
