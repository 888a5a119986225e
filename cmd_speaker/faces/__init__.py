"""From photographs and videos to embeddings of faces, which `teachers.vectors.VectorTeacher` teaches with."""
