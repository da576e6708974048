"""The settings of a node: what there is (model), where they come from (load), where a node's files are (datadir).

| file         | idea                                                                       |
|--------------|----------------------------------------------------------------------------|
| model.py     | one frozen struct per subsystem                                            |
| fields.py    | every setting by its dotted name: type, default, documentation             |
| yaml.py      | YAML to plain data with line numbers: duplicates, tags and bombs refused   |
| environ.py   | `ARQON_BUS__CLIENTS_MAX=100`, and the aliases that ArqonBus 1.0 users know |
| problems.py  | where a value comes from, and what is wrong with one                       |
| check.py     | plain data to `Config`, and every problem: setting, value, line, remedy    |
| relations.py | what depends on more than one setting                                      |
| older.py     | older spellings of settings, brought to today's                             |
| load.py      | the three of them together                                                 |
| changes.py   | what differs between two configurations; the hot part of one over another  |
| schema.py    | JSON Schema for editors                                                    |
| write.py     | a commented arqon.yaml for `arqon init`                                    |
| reference.py | docs/reference/config.md                                                   |
| datadir.py   | the files of one node                                                      |
"""
